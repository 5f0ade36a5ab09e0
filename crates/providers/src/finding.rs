//! What preflight found on this machine, and the fault that an operator can remedy.

/// One thing that preflight looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// True: the launch may go on.
    pub ok: bool,
    /// One line: what was seen.
    pub message: String,
    /// If not ok: the command or change that remedies it.
    pub remedy: String,
}

/// Something that keeps this machine from carrying the cluster, and what the operator can do about it. Errors carry it, so
/// that preflight and messages need not take sentences apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {remedy}")]
pub struct Unfit {
    /// One line: what was seen.
    pub message: String,
    /// The command or change that remedies it.
    pub remedy: String,
}

impl Unfit {
    /// A fault with its remedy.
    pub fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

impl From<Unfit> for Finding {
    fn from(unfit: Unfit) -> Self {
        Self {
            ok: false,
            message: unfit.message,
            remedy: unfit.remedy,
        }
    }
}

impl Finding {
    /// What an error says. It may carry a remedy of its own, else this is the one.
    pub fn of_error(error: &anyhow::Error, remedy: &str) -> Self {
        match error.downcast_ref::<Unfit>() {
            Some(unfit) => unfit.clone().into(),
            None => bad_finding(format!("{error:#}"), remedy),
        }
    }
}

/// Nothing is in the way.
pub fn good_finding(message: impl Into<String>) -> Finding {
    Finding {
        ok: true,
        message: message.into(),
        remedy: String::new(),
    }
}

/// Something is in the way, and what remedies it.
pub fn bad_finding(message: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Unfit::new(message, remedy).into()
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_remedy_is_found_below_what_was_being_done() {
        let unfit = Unfit::new("port 80: taken; by 7", "stop it: gently; soon");
        let error = Err::<(), _>(unfit).context("cannot start").unwrap_err();
        let finding = Finding::of_error(&error, "look again");
        assert_eq!(finding.message, "port 80: taken; by 7");
        assert_eq!(finding.remedy, "stop it: gently; soon");
        let plain = Finding::of_error(&anyhow::anyhow!("no: such"), "look again");
        assert_eq!(
            (plain.message.as_str(), plain.remedy.as_str()),
            ("no: such", "look again")
        );
    }
}
