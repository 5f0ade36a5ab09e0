//! Commands on a machine by the operator's own ssh: its keys, agent, jump hosts and ports are those of the operator's ssh_config.

use std::path::{Path, PathBuf};
use std::process::Command;

use ha_cluster_file::cluster::Node;

/// Flatcar's user, who gets `ssh.authorizedKeys` and may become root.
const USER: &str = "core";
/// Seconds to a connection: a machine that is not there must not hold up the look at the others.
const CONNECT_SECONDS: u32 = 3;
/// Seconds between signs of life, and how many may be missed: a machine that lost power ends its connection so.
const ALIVE: (u32, u32) = (5, 3);

/// How machines are reached.
#[derive(Debug)]
pub struct SshAccess {
    machines: PathBuf,
}

impl SshAccess {
    /// `machines` has a directory for each node, which keeps the key that its host showed first.
    pub fn new(machines: &Path) -> Self {
        Self {
            machines: machines.to_owned(),
        }
    }

    /// Runs `argv` as root there.
    pub fn command(&self, node: &Node, argv: &[&str]) -> Command {
        let hosts = self.machines.join(&node.name).join("known_hosts");
        let (every, missed) = ALIVE;
        let options = [
            "BatchMode=yes".to_owned(),
            format!("ConnectTimeout={CONNECT_SECONDS}"),
            format!("ServerAliveInterval={every}"),
            format!("ServerAliveCountMax={missed}"),
            // A machine that is made anew has another key: then its directory was removed with the old one.
            "StrictHostKeyChecking=accept-new".to_owned(),
            format!("UserKnownHostsFile=\"{}\"", hosts.display()),
            "LogLevel=ERROR".to_owned(),
        ];
        let mut command = Command::new("ssh");
        for option in &options {
            command.args(["-o", option]);
        }
        let words: Vec<String> = argv.iter().map(|word| shell_quote(word)).collect();
        command
            .args(["-l", USER, &node.address.to_string(), "--"])
            .arg(format!("sudo -n -- {}", words.join(" ")));
        command
    }
}

/// One word for the shell that sshd starts.
fn shell_quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use ha_test_support::demo_cluster;

    use super::*;

    #[test]
    fn what_the_shell_there_reads_are_the_words_that_were_given() {
        let access = SshAccess::new(Path::new("/state dir/machines"));
        let node = &demo_cluster().nodes[0];
        let argv = [
            "printf",
            "%s\n",
            "it's $HOME; `x`",
            "",
            "two words\nand a line",
        ];
        let command = access.command(node, &argv);
        let args: Vec<&str> = command.get_args().map(|a| a.to_str().unwrap()).collect();
        assert!(args.contains(&"BatchMode=yes"));
        assert!(args.contains(&"UserKnownHostsFile=\"/state dir/machines/node1/known_hosts\""));
        let line = args.last().unwrap().strip_prefix("sudo -n -- ").unwrap();
        let output = Command::new("sh").args(["-c", line]).output().unwrap();
        let expected: String = argv[2..].iter().map(|word| format!("{word}\n")).collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}
