//! The last words of a launch, as text.

use std::path::Path;

use ha_host_base::text::{Paint, count, home, printable, span};
use ha_providers::Finding;

use super::{End, Summary};
use crate::launch::Lost;

/// Prints the end: good news to standard output, the rest to standard error.
pub fn print(end: &End) {
    match end {
        End::Ready(summary) => println!("{}", ready(summary)),
        End::Already(s) => println!(
            "{} is ready already: nothing changed\n\n{}",
            s.cluster,
            commands(s)
        ),
        other => {
            let (head, rest) = failure(other);
            eprintln!("{} {head}{rest}", Paint::stderr().red("error:"));
        }
    }
}

fn ready(s: &Summary) -> String {
    let held = s
        .holder
        .as_ref()
        .map_or_else(String::new, |node| format!(", VIP on {node}"));
    let etcd = if s.members == 0 {
        String::new()
    } else {
        format!(", {} of {} etcd members", s.members, s.control_planes)
    };
    let head = format!("{} is ready in {}", s.cluster, span(s.took));
    let head = Paint::stdout().green(&head);
    let spent = match s.spent.words() {
        words if words.is_empty() => String::new(),
        words => format!("\n  where the time went: {words}"),
    };
    format!(
        "{head}: {0} of {0} nodes{etcd}{held}\n\n{1}{spent}",
        s.nodes,
        commands(s)
    )
}

fn commands(s: &Summary) -> String {
    format!(
        "  kubectl --kubeconfig {} get nodes\n  ha-host status {c}      ha-host logs {c} {} -f      ha-host destroy {c}",
        home(&s.kubeconfig),
        s.first_node,
        c = s.cluster
    )
}

fn failure(end: &End) -> (String, String) {
    match end {
        End::Unfit(findings) => unfit(findings),
        End::Lost(lost, file) => self::lost(lost, file),
        End::TimedOut {
            took,
            missing,
            file,
        } => {
            let lines: String = missing
                .iter()
                .map(|m| format!("\n  {}", printable(m)))
                .collect();
            let go_on = format!(
                "\n  go on    it works on by itself; run  ha-host launch {}  again to wait on",
                file.display()
            );
            (format!("not ready after {}", span(*took)), lines + &go_on)
        }
        End::Interrupted { file } => {
            let rest = format!("\n  go on    run  ha-host launch {}  again", file.display());
            ("interrupted: everything is left as it is".to_owned(), rest)
        }
        End::Ready(_) | End::Already(_) => (String::new(), String::new()),
    }
}

fn unfit(findings: &[Finding]) -> (String, String) {
    let line = |f: &Finding| {
        format!(
            "\n  {}\n           = {}",
            printable(&f.message),
            printable(&f.remedy)
        )
    };
    let head = format!(
        "this machine is not fit for it: {}; nothing was made",
        count(findings.len(), "problem")
    );
    (head, findings.iter().map(line).collect())
}

fn lost(lost: &Lost, file: &Path) -> (String, String) {
    let mut rest: String = lost
        .words
        .iter()
        .map(|l| format!("\n  {}", printable(l)))
        .collect();
    rest += &format!("\n  others   {}", lost.others);
    rest += &format!("\n  look     {}", lost.look);
    let (node, file) = (&lost.node, file.display());
    let again = lost.again.clone().unwrap_or_else(|| {
        format!("mend it and run  ha-host launch {file}  again: it continues with {node}")
    });
    rest += &format!("\n  go on    {again}");
    (format!("{node} ({}): {}", lost.role, lost.what), rest)
}
