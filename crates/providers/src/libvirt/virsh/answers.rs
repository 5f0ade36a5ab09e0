//! What virsh prints when it is asked many things in one call: XML documents one after another, and lines between them.

use roxmltree::{Document, Node};

/// Answers to several questions; empty if they make no sense.
#[derive(Debug, Default)]
pub struct Answers {
    /// One XML document around them.
    text: String,
    /// Element, name and place of each document among them.
    documents: Vec<(String, Option<String>, std::ops::Range<usize>)>,
    /// The lines outside of documents.
    lines: String,
}

impl Answers {
    pub fn new(printed: &str) -> Self {
        let text = format!("<answers>{printed}</answers>");
        let Ok(document) = Document::parse(&text) else {
            return Self::default();
        };
        let children = || document.root_element().children();
        let documents = children().filter(Node::is_element).map(|node| {
            let name = node.children().find(|child| child.has_tag_name("name"));
            let name = name.and_then(|child| child.text()).map(String::from);
            (node.tag_name().name().to_owned(), name, node.range())
        });
        let lines = children().filter(Node::is_text).filter_map(|n| n.text());
        Self {
            documents: documents.collect(),
            lines: lines.collect(),
            text: text.clone(),
        }
    }

    /// The document of a thing.
    pub fn document(&self, element: &str, name: &str) -> Option<&str> {
        let wanted = (element, Some(name));
        let mut all = self.documents.iter();
        let (.., range) = all.find(|(e, n, _)| (e.as_str(), n.as_deref()) == wanted)?;
        Some(&self.text[range.clone()])
    }

    /// The first document of a kind.
    pub fn first(&self, element: &str) -> Option<&str> {
        let (.., range) = self.documents.iter().find(|(e, ..)| e == element)?;
        Some(&self.text[range.clone()])
    }

    pub fn lines(&self) -> &str {
        &self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_found_by_name_and_lines_between_them() {
        let printed = "<domain id='1'>\n  <name>a</name>\n</domain>\n\nfree   : 7 KiB\n<domain><name>b</name><x><name>c</name></x></domain>\n";
        let answers = Answers::new(printed);
        let domain = |name| answers.document("domain", name);
        assert_eq!(
            domain("a"),
            Some("<domain id='1'>\n  <name>a</name>\n</domain>")
        );
        assert!(
            domain("b")
                .unwrap()
                .ends_with("<x><name>c</name></x></domain>")
        );
        assert_eq!(
            (domain("c"), answers.document("network", "a")),
            (None, None)
        );
        assert_eq!(answers.first("domain"), domain("a"));
        assert_eq!(answers.lines().trim(), "free   : 7 KiB");
        assert_eq!(
            Answers::new("<domain><name>a</name>").document("domain", "a"),
            None
        );
    }
}
