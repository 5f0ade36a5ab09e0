//! The units that a node lives on.

use ha_wire::node::NodeFile;

use super::check::{Check, Verdict, passing_check};

/// Known to systemd; and the container runtime is to run, the others have their phases yet.
pub fn check_unit(node: &NodeFile, unit: &str, state: &Result<String, String>) -> Check {
    let check = passing_check(unit, &format!("systemctl status {unit}"));
    let runtime = unit == node.kubernetes.cri.unit();
    let state = match state {
        Ok(state) => state.as_str(),
        Err(unknown) => {
            return check.with(
                Verdict::Wait,
                unknown.clone(),
                "systemctl is-system-running",
            );
        }
    };
    match state {
        "not-found" => check.with(
            Verdict::Wait,
            "systemd does not know it (yet)".into(),
            "merge the sysext that brings it",
        ),
        "active" => check.says(state.into()),
        "failed" if runtime => check.with(
            Verdict::Wait,
            "failed".into(),
            &format!("journalctl -u {unit}"),
        ),
        "activating" if runtime => check.with(
            Verdict::Wait,
            "activating: it is starting, or systemd starts it again and again because it exits"
                .into(),
            &format!("journalctl -u {unit} says which, and why"),
        ),
        _ if runtime => check.with(
            Verdict::Wait,
            state.into(),
            &format!("systemctl start {unit}"),
        ),
        _ => check.says(state.into()),
    }
}

/// On a node that has been in its cluster each of them is to run.
pub fn check_settled_unit(unit: &str, state: &Result<String, String>) -> Option<Check> {
    let state = state.as_ref().ok().filter(|state| *state != "active")?;
    let check = passing_check(&format!("{unit} runs"), &format!("systemctl status {unit}"));
    let reason = match state.as_str() {
        "activating" => {
            "activating: it is starting, or systemd starts it again and again".to_owned()
        }
        state => format!("{state} on a node of the cluster"),
    };
    let verdict = match state.as_str() {
        "activating" | "reloading" => Verdict::Wait,
        _ => Verdict::Fail,
    };
    let remedy = format!("journalctl -u {unit} says why; then systemctl restart {unit}");
    Some(check.with(verdict, reason, &remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_does_not_run_on_a_settled_node_is_named() {
        for (state, verdict) in [
            ("active", None),
            ("activating", Some(Verdict::Wait)),
            ("failed", Some(Verdict::Fail)),
            ("inactive", Some(Verdict::Fail)),
            ("not-found", Some(Verdict::Fail)),
        ] {
            let check = check_settled_unit("kubelet.service", &Ok(state.to_owned()));
            assert_eq!(check.map(|check| check.verdict), verdict, "{state}");
        }
        let unknown = Err("no bus".to_owned());
        assert!(
            check_settled_unit("kubelet.service", &unknown).is_none(),
            "preflight says that"
        );
    }
}
