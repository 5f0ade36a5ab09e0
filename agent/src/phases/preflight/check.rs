//! One check: name, verdict, the machine's words, the remedy and the command that shows it.

use serde::Serialize;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Works, but somebody should look.
    Warn,
    /// Not yet: it may come by itself.
    Wait,
    /// A person must act.
    Fail,
}

/// One check with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    pub verdict: Verdict,
    /// What the machine says.
    pub reason: String,
    /// What to do; empty: nothing.
    pub remedy: String,
    /// The command that shows it.
    pub command: String,
}

/// The builder of a check: passes unless told otherwise.
pub fn passing_check(name: &str, command: &str) -> Check {
    Check {
        name: name.into(),
        verdict: Verdict::Pass,
        reason: "ok".into(),
        remedy: String::new(),
        command: command.into(),
    }
}

impl Check {
    /// Ended otherwise, with this reason and remedy.
    pub fn with(mut self, verdict: Verdict, reason: String, remedy: &str) -> Self {
        (self.verdict, self.reason, self.remedy) = (verdict, reason, remedy.into());
        self
    }

    /// Passed, and says more than ok.
    pub fn says(mut self, reason: String) -> Self {
        self.reason = reason;
        self
    }
}
