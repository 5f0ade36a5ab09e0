//! The cluster's private keys, and every place where one can be found: as PEM, as DER, in base64 (a kubeconfig, an Ignition
//! config), in a file that gzip packed. A search that cannot run is an error: each one also has to find what it planted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ha_wire::paths;

use crate::cluster::Cluster;
use crate::ignition::file_in_config;
use crate::node::ClusterNode;
use crate::process::run_to_end;

/// The copy of the first node's Ignition config from before its first boot, in the test's directory.
pub const FIRST_BOOT: &str = "node1-first-boot.ign";
/// Every file of a node is read, container images included.
const WHOLE_DISK: Duration = Duration::from_secs(180);
/// A few small files of the operator's.
const FEW_FILES: Duration = Duration::from_secs(20);
/// Before the 32 bytes of a P-256 key in PKCS#8 and SEC1 alike: version 1, then a string of that length.
const BEFORE_THE_SCALAR: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 0x20];
/// The length of a P-256 key.
const SCALAR: usize = 32;
/// So many bytes of a key in a row are found nowhere by chance.
const TELLING: usize = 8;
/// How much of a key's first PEM line is looked for in base64: a multiple of three, so that each of the three ways in which
/// base64 can begin within a text gives whole characters.
const IN_BASE64: usize = 60;

/// Where a search plants its patterns on a node: what every search must find.
const PLANTED: &str = "/var/lib/e2e-key-patterns";
/// The same, packed.
const PLANTED_PACKED: &str = "/var/lib/e2e-key-patterns-packed";

/// Lists the files of a node that hold a pattern, and after them those that hold one once unpacked. `grep` ends with 2 when a
/// file vanishes while it reads; whether it ran is told by what was planted. A packed file begins with gzip's three bytes.
const SEARCH: &str = r#"
set -eu; export LC_ALL=C
printf %s "$1" | base64 -d > PLANTED; gzip -c PLANTED > PLANTED-packed
all= own=
for d in /*; do
  case $d in /proc|/sys|/dev) continue ;; esac
  [ ! -d "$d" ] || [ -L "$d" ] || { all="$all $d"; [ "$d" = /usr ] || own="$own $d"; }
done
grep -rlaFs -f PLANTED $all || [ $? = 2 ]
packed=$(grep -rlas --exclude-dir=io.containerd.content.v1.content --exclude-dir=io.containerd.snapshotter.v1.overlayfs \
  -e "^$(printf '\037\213\010')" $own) || [ $? = 2 ]
for f in $packed; do
  if gzip -dcq < "$f" 2>/dev/null | grep -qaF -f PLANTED; then echo "$f"; fi
done
rm PLANTED PLANTED-packed
"#;

/// Counts the journal's lines that hold a pattern, in any field, and those that hold the mark that was put there for it.
const SEARCH_JOURNAL: &str = r#"
set -eu; export LC_ALL=C
printf '%s\n' "$2" | systemd-cat -t e2e; journalctl --sync
printf %s "$1" | base64 -d > PLANTED; printf '\n%s\nPRIVATE KEY-----\n' "$2" >> PLANTED
journalctl --no-pager --all -o export > PLANTED-journal
grep -caF -f PLANTED PLANTED-journal; grep -caF -e "$2" PLANTED-journal
rm PLANTED PLANTED-journal
"#;

/// The private keys of one cluster, as what to look for.
#[derive(Debug)]
pub struct PrivateKeys {
    patterns: Vec<Vec<u8>>,
}

impl PrivateKeys {
    /// All that `ha-host` has made: of the authorities, of each node's first identity, of the administrator.
    pub fn of_cluster(cluster: &Cluster) -> Result<Self> {
        let state = cluster.operator().state_of(cluster.name());
        let mut pems = Vec::new();
        for name in ["ca.key", "front-proxy-ca.key", "etcd/ca.key", "sa.key"] {
            pems.push(read_text(&state.join("pki").join(name))?);
        }
        pems.push(key_in_kubeconfig(&read_text(&cluster.kubeconfig())?)?);
        let mut configs = vec![cluster.dir().join(FIRST_BOOT)];
        let nodes = cluster.plan().nodes().into_iter();
        configs.extend(nodes.map(|n| state.join(format!("nodes/{}.ign", n.0))));
        for config in configs.iter().filter(|path| path.exists()) {
            pems.push(file_in_config(&read_text(config)?, paths::IDENTITY_KEY)?);
        }
        Self::new(&pems)
    }

    /// These keys, PEM.
    pub fn new(pems: &[String]) -> Result<Self> {
        let patterns: Result<Vec<Vec<Vec<u8>>>> = pems.iter().map(|pem| forms_of(pem)).collect();
        let patterns = patterns?.concat();
        ensure!(!patterns.is_empty(), "no key to look for");
        Ok(Self { patterns })
    }

    /// One pattern a line, as grep takes them.
    fn lines(&self) -> Vec<u8> {
        self.patterns.join(&b'\n')
    }

    fn as_argument(&self) -> String {
        BASE64.encode(self.lines())
    }

    /// Those of these files of the operator's that hold a key.
    pub fn found_in(&self, files: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let planted = tempfile::NamedTempFile::new()?;
        fs::write(planted.path(), self.lines())?;
        let mut grep = Command::new("grep");
        grep.env("LC_ALL", "C")
            .args(["-laF", "-f"])
            .arg(planted.path())
            .arg("--")
            .arg(planted.path())
            .args(files);
        let found = run_to_end(grep, FEW_FILES)?.ok()?.stdout;
        let found = found.lines().map(PathBuf::from);
        Ok(found.filter(|path| path != planted.path()).collect())
    }

    /// The files of a node that hold a key, in whatever form.
    pub fn found_on(&self, node: ClusterNode<'_>) -> Result<Vec<String>> {
        let script = SEARCH.replace("PLANTED", PLANTED);
        let argv = ["sh", "-c", &script, "sh", &self.as_argument()];
        let found = node.run(&argv, WHOLE_DISK)?.ok()?.stdout;
        for planted in [PLANTED, PLANTED_PACKED] {
            ensure!(
                found.lines().any(|path| path == planted),
                "the search did not find what it had planted at {planted}: {found:?}"
            );
        }
        let found = found.lines().filter(|path| !path.starts_with(PLANTED));
        Ok(found.map(str::to_owned).collect())
    }

    /// How many lines of a node's journal hold a key, or say that a private key begins.
    pub fn lines_in_journal(&self, node: ClusterNode<'_>) -> Result<usize> {
        let script = SEARCH_JOURNAL.replace("PLANTED", PLANTED);
        let mark = format!("e2e-mark-{}", std::process::id());
        let argv = ["sh", "-c", &script, "sh", &self.as_argument(), &mark];
        let counts = node.run(&argv, WHOLE_DISK)?.ok()?.stdout;
        let counts: Result<Vec<usize>, _> = counts.lines().map(str::parse).collect();
        let counts = counts.context("grep printed no numbers")?;
        ensure!(
            counts.len() == 2 && counts[1] > 0,
            "the search did not find the mark that it had put into the journal: {counts:?}"
        );
        Ok(counts[0] - counts[1])
    }
}

/// The key that a kubeconfig embeds, PEM: the text after its name, in quotes or not.
fn key_in_kubeconfig(text: &str) -> Result<String> {
    let (_, rest) = text
        .split_once("client-key-data")
        .context("the kubeconfig has no client-key-data")?;
    let data = rest.trim_start_matches(['"', ':', ' ']);
    let data = data.split(['"', '\n', ',']).next().unwrap_or_default();
    Ok(String::from_utf8(BASE64.decode(data.trim())?)?)
}

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// What a key's PEM text, its DER and base64 of its PEM text hold, and nothing public does.
fn forms_of(pem: &str) -> Result<Vec<Vec<u8>>> {
    let body: Vec<&str> = pem.lines().filter(|l| !l.starts_with("-----")).collect();
    let der = BASE64.decode(body.concat()).context("no PEM")?;
    let scalar = der
        .windows(BEFORE_THE_SCALAR.len())
        .position(|bytes| bytes == BEFORE_THE_SCALAR)
        .and_then(|at| der[at + BEFORE_THE_SCALAR.len()..].get(..SCALAR))
        .context("not a P-256 key")?;
    // The second line of a PEM text is public in part.
    let first = body[0].as_bytes();
    ensure!(first.len() >= IN_BASE64 + 2, "a short PEM line");
    let mut forms = vec![first.to_vec()];
    forms.extend((0..3).map(|at| BASE64.encode(&first[at..at + IN_BASE64]).into_bytes()));
    // grep's patterns end with their line, and it takes no zero in one.
    let run = scalar.split(|byte| matches!(byte, 0 | b'\n'));
    let run = run.max_by_key(|run| run.len()).context("an empty key")?;
    ensure!(run.len() >= TELLING, "a key of zeros and line ends");
    forms.push(run.to_vec());
    Ok(forms)
}

#[cfg(test)]
mod tests;
