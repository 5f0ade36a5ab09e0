//! Where CRI-O's configuration has it look: for pod networks, and for the policy that says which images may be pulled.

use super::{CONFIGS, CniPlaces};
use crate::phases::preflight::check::{Check, Verdict, passing_check};
use crate::sys::files::Files;

const CONFIG: &str = "/etc/crio/crio.conf";
/// Read after it, by their names.
const DROP_INS: &str = "/etc/crio/crio.conf.d";
/// CRI-O's own default.
const PROGRAMS: &str = "/opt/cni/bin";
/// Where the policy is if nothing is said.
const POLICY: &str = "/etc/containers/policy.json";

/// What CRI-O goes by, with its own defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrioConfig {
    network_dir: String,
    plugin_dirs: Vec<String>,
    signature_policy: String,
}

impl CrioConfig {
    /// The last file that says something of a key counts.
    pub fn read(files: &Files) -> Self {
        let mut names = files.names(DROP_INS).unwrap_or_default();
        names.sort();
        let drop_ins = names.iter().map(|name| format!("{DROP_INS}/{name}"));
        let paths = std::iter::once(CONFIG.to_owned()).chain(drop_ins);
        let texts: Vec<String> = paths
            .filter_map(|p| files.read(&p).ok().flatten())
            .collect();
        let last = |table: &str, key: &str| {
            let mut said = texts.iter().rev();
            said.find_map(|text| strings_of(text, table, key))
        };
        let one = |all: Option<Vec<String>>, usual: &str| {
            let one = all.and_then(|all| all.into_iter().next());
            one.filter(|one| !one.is_empty())
                .unwrap_or_else(|| usual.to_owned())
        };
        let as_path = |path: String| path.trim_end_matches('/').to_owned();
        let programs = last("crio.network", "plugin_dirs").unwrap_or_default();
        Self {
            network_dir: as_path(one(last("crio.network", "network_dir"), CONFIGS)),
            plugin_dirs: match programs.is_empty() {
                true => vec![PROGRAMS.to_owned()],
                false => programs.into_iter().map(as_path).collect(),
            },
            signature_policy: one(last("crio.image", "signature_policy"), POLICY),
        }
    }

    /// Where it looks for pod networks.
    pub fn cni_places(&self) -> CniPlaces {
        CniPlaces {
            configs: self.network_dir.clone(),
            programs: self.plugin_dirs.clone(),
        }
    }

    /// Without a policy no image is pulled.
    pub fn check_policy(&self, files: &Files) -> Check {
        let policy = &self.signature_policy;
        let check = passing_check("CRI-O's directories", &format!("ls /etc/crio {policy}"));
        if files.exists(policy) {
            return check;
        }
        let reason = format!("{policy} is not there: CRI-O pulls no image");
        let remedy = "systemctl restart crio copies its files from its sysext (/usr/share/crio/etc); is that merged? (systemd-sysext \
                      status)";
        check.with(Verdict::Fail, reason, remedy)
    }
}

/// A string, or a list of them, in a table of a TOML file of CRI-O's shape: a key and its value begin a line of their own. None: the
/// table does not say it.
fn strings_of(text: &str, table: &str, key: &str) -> Option<Vec<String>> {
    let mut lines = text.lines().map(str::trim);
    let mut within = false;
    let value = lines.find_map(|line| {
        if line.starts_with('[') {
            within = line == format!("[{table}]");
        }
        let (name, value) = line.split_once('=').filter(|_| within)?;
        (name.trim() == key).then(|| value.trim())
    })?;
    let mut value = value.to_owned();
    if value.starts_with('[') {
        while !value.contains(']') {
            let more = lines.next()?;
            if !more.starts_with('#') {
                value += more;
            }
        }
    }
    let quote = if value.contains('"') { '"' } else { '\'' };
    let inside = value.split(quote).skip(1).step_by(2);
    Some(inside.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// In the shape of CRI-O 1.36's own template of it (pkg/config/template.go), shortened.
    const PRINTED: &str = r#"# The CRI-O configuration file
[crio]
[crio.image]
# signature_policy = "/nowhere"
signature_policy = "/etc/crio/policy.json"
[crio.network]
# network_dir = "/etc/cni/net.d/"
network_dir = "/etc/crio/net.d/"
# Paths to directories where CNI plugin binaries are located.
plugin_dirs = [
	"/opt/cni/bin/",
	# "/usr/lib/cni/",
	"/usr/libexec/cni/",
]
[crio.metrics]
network_dir = "/of/another/table"
"#;

    #[test]
    fn what_cri_o_s_files_say_counts_and_the_last_of_them_most() {
        let machine = testing::fake_machine(testing::worker());
        let files = &machine.cx.sys.files;
        let config = |network_dir: &str, plugin_dirs: &[&str], policy: &str| CrioConfig {
            network_dir: network_dir.into(),
            plugin_dirs: plugin_dirs.iter().map(|dir| (*dir).into()).collect(),
            signature_policy: policy.into(),
        };
        let usual = config("/etc/cni/net.d", &["/opt/cni/bin"], POLICY);
        assert_eq!(CrioConfig::read(files), usual);
        machine.file(CONFIG, PRINTED);
        let both = ["/opt/cni/bin", "/usr/libexec/cni"];
        let printed = config("/etc/crio/net.d", &both, "/etc/crio/policy.json");
        assert_eq!(CrioConfig::read(files), printed);
        for (name, text) in [
            (
                "10-a.conf",
                "[crio.network]\nnetwork_dir = '/a'\nplugin_dirs = ['/b', '/c/']\n",
            ),
            ("05-b.conf", "[crio.network]\nnetwork_dir = \"/b\"\n"),
            ("20-c.conf", "[crio.image]\nsignature_policy = \"\"\n"),
        ] {
            machine.file(&format!("{DROP_INS}/{name}"), text);
        }
        assert_eq!(CrioConfig::read(files), config("/a", &["/b", "/c"], POLICY));
    }

    #[test]
    fn the_policy_that_is_named_is_looked_for() {
        let machine = testing::fake_machine(testing::worker());
        let files = &machine.cx.sys.files;
        let check = || CrioConfig::read(files).check_policy(files);
        assert_eq!(check().verdict, Verdict::Fail);
        assert!(check().reason.starts_with(POLICY), "{:?}", check());
        // As the bakery's sysext has it.
        machine.file(&format!("{DROP_INS}/10-crio.conf"), PRINTED);
        assert!(
            check()
                .reason
                .starts_with("/etc/crio/policy.json is not there")
        );
        machine.file("/etc/crio/policy.json", "{}");
        assert_eq!(check().verdict, Verdict::Pass);
    }
}
