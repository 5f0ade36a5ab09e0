//! What a document comes to with its aliases expanded, and how much of that is taken.

/// Nodes in a document. 5,000 machines with a dozen labels each are 200,000; a bomb is far more.
const MAX_NODES: usize = 500_000;
/// Bytes of texts, keys and paths in a document: whatever is made of a file grows with these. Paths count, because a long key
/// stands in the path of everything below it. Those 5,000 machines have 12 MiB.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// The size of a document so far, or of a part of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ExpandedSize {
    pub nodes: usize,
    /// Of texts, keys and the path of every node.
    pub bytes: usize,
}

impl ExpandedSize {
    pub fn add(&mut self, more: Self) {
        self.nodes = self.nodes.saturating_add(more.nodes);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    /// What came since then.
    pub fn since(self, before: Self) -> Self {
        Self {
            nodes: self.nodes - before.nodes,
            bytes: self.bytes - before.bytes,
        }
    }

    /// The same value at another path: the paths of all its nodes begin with it.
    pub fn moved(self, from: &str, to: &str) -> Self {
        let paths = |path: &str| self.nodes.saturating_mul(path.len());
        let bytes = self
            .bytes
            .saturating_sub(paths(from))
            .saturating_add(paths(to));
        Self { bytes, ..self }
    }

    /// What is too much of it, if something is.
    pub fn excess(self) -> Option<String> {
        if self.nodes > MAX_NODES {
            Some(format!("more than {MAX_NODES} values"))
        } else if self.bytes > MAX_BYTES {
            let most = MAX_BYTES >> 20;
            Some(format!("more than {most} MiB of texts and their paths"))
        } else {
            None
        }
    }
}
