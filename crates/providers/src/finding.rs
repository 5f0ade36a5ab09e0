//! What a look at this machine found.

/// One thing that preflight looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// True: the launch may go on.
    pub ok: bool,
    /// One line: what was seen.
    pub seen: String,
    /// If not ok: the command or change that mends it.
    pub cure: String,
}

/// Nothing is in the way.
pub fn good(seen: impl Into<String>) -> Finding {
    Finding {
        ok: true,
        seen: seen.into(),
        cure: String::new(),
    }
}

/// Something is in the way, and what mends it.
pub fn bad(seen: impl Into<String>, cure: impl Into<String>) -> Finding {
    Finding {
        ok: false,
        seen: seen.into(),
        cure: cure.into(),
    }
}
