//! What a changed cluster file may change of a cluster that has machines: everything until an apiserver answered, then what the
//! keys allow ([`super::reach`]).

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Cluster;
use ha_host_base::exit::Stop;
use ha_host_base::files;

use super::difference::{Difference, DifferenceKind, VersionOfCluster, find_differences};
use super::make_provider::MakeProvider;
use super::reach::{Instead, Reach, VERSION_KEY, reach_of};
use super::same_files::LaunchedFiles;
use super::version_of_cluster::ask_version;
use crate::ignition::{OperatorTexts, operator_texts};
use crate::inputs::OperatorFiles;
use crate::source::Source;
use crate::state::{ClusterDir, ClusterLife, ClusterRecord};

/// What a launch has to do because its cluster file is not what it was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// What is not what it was, key by key.
    differences: Vec<Difference>,
    /// Nothing is known of what the machines were made from.
    unknown: bool,
    /// What reaches no node that stands, one line each.
    pub unreached: Vec<String>,
    /// The cluster as its machines were made, if no apiserver of it was seen to answer: then the file counts as it is now.
    pub unfounded: Option<Box<Cluster>>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.differences.is_empty() && !self.unknown
    }

    /// Whether machines that were made from the old file are not what the new one asks for.
    pub fn concern_machines(&self) -> bool {
        let mut all = self.differences.iter();
        all.any(|difference| reach_of(difference) != Reach::Whole)
    }

    /// Every key with both values, for one line.
    pub fn describe(&self) -> String {
        let words: Vec<String> = self.differences.iter().map(Difference::to_string).collect();
        words.join("; ")
    }

    /// Whether one of these parts of the file differs.
    pub fn touch(&self, parts: &[&str]) -> bool {
        let below = |difference: &Difference| parts.iter().any(|part| difference.is_below(part));
        self.differences.iter().any(below)
    }

    /// An error: the cluster stands, and this asks for what a launch cannot do.
    pub fn refuse_unchangeable(&self, source: &Source) -> Result<()> {
        let reaches = self.differences.iter().map(|d| (d, reach_of(d)));
        let refused: Vec<_> = reaches
            .filter_map(|(difference, reach)| match reach {
                Reach::Refused { why, instead } => Some((difference, why, instead)),
                Reach::Whole | Reach::AlreadyThere | Reach::NewNodes(_) => None,
            })
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        let line = |(difference, why, instead): &(&Difference, &str, Instead)| match instead {
            Instead::InPlace(way) => {
                let said = words_of_cluster(difference);
                format!("\n  {difference}\n    {why}{said}; what can be done: {way}")
            }
            Instead::AnotherCluster => {
                format!("\n  {difference}\n    {why}: only another cluster can have it")
            }
        };
        let lines: String = refused.iter().map(line).collect();
        let mut others = refused.iter().map(|(.., instead)| *instead);
        let only_another = others.any(|instead| instead == Instead::AnotherCluster);
        let (name, file) = (&source.cluster.name, source.path.display());
        let destroy = if only_another {
            format!(
                ". If {name} is not needed any more: `ha-host destroy {name}`, which loses its nodes with their disks, the volumes \
                 on them and all that its API holds, and launch again"
            )
        } else {
            String::new()
        };
        Err(Stop::bad_input(format!(
            "{file} differs from what {name} was launched with, in what a launch cannot change:{lines}\n  nothing was changed; \
             take these changes back{destroy}"
        )))
    }
}

/// Compares a file with what the cluster was launched with. An error: it asks for what a launch cannot do. `make_provider` is asked
/// for the way to the cluster's API, if that has to say something.
pub fn judge_changes(
    dir: &ClusterDir,
    source: &Source,
    files: &OperatorFiles,
    make_provider: MakeProvider<'_>,
) -> Result<Changes> {
    let Some(record) = dir.record()? else {
        return Ok(Changes::default());
    };
    match record.life {
        ClusterLife::Rendered => return Ok(Changes::default()),
        ClusterLife::Destroying => {
            let name = &record.name;
            return Err(Stop::bad_input(format!(
                "a destroy of {name} was cut off: finish it with `ha-host destroy {name}` first"
            )));
        }
        ClusterLife::Launching | ClusterLife::Standing => {}
    }
    let Some(launched) = dir.accepted()? else {
        let unknown = true;
        return Ok(Changes {
            unknown,
            ..Changes::default()
        });
    };
    let mut differences = compare_with(dir, &record, &launched, source, files)?;
    let is_unfounded = record.life == ClusterLife::Launching && !record.founded;
    let mut keys = differences.iter_mut();
    if !is_unfounded && let Some(version) = keys.find(|d| d.key == VERSION_KEY) {
        let said = ask_version(dir, &launched, make_provider);
        version.note_version_of_cluster(&source.cluster.kubernetes.version, said);
    }
    let mut changes = Changes {
        unreached: differences.iter().filter_map(unreached_line).collect(),
        differences,
        ..Changes::default()
    };
    if is_unfounded {
        changes.unreached.clear();
        changes.unfounded = Some(Box::new(launched));
    } else {
        changes.refuse_unchangeable(source)?;
    }
    Ok(changes)
}

fn compare_with(
    dir: &ClusterDir,
    record: &ClusterRecord,
    launched: &Cluster,
    source: &Source,
    files: &OperatorFiles,
) -> Result<Vec<Difference>> {
    let (hashes, texts) = (dir.file_hashes()?, texts_of_founder(dir, launched)?);
    let known = LaunchedFiles {
        old_base: &record.base,
        new_base: &source.base,
        hashes: &hashes,
        texts: texts.as_ref(),
    };
    let mut old = launched.clone();
    let mut found = known.follow_moved(&mut old, &source.cluster, files)?;
    let text = files::read_optional(&dir.path().join("cluster.yaml"))?;
    // Nobody edited it: what differs are defaults of another version of this program.
    if text.as_deref() != Some(&source.text) {
        found.extend(find_differences(&old, &source.cluster)?);
    }
    Ok(found)
}

/// For a line of what is refused; empty: the cluster was not asked.
fn words_of_cluster(difference: &Difference) -> String {
    match &difference.kind {
        DifferenceKind::Version(VersionOfCluster::Other(version)) => {
            format!(", and the cluster itself is of {version}")
        }
        DifferenceKind::Version(VersionOfCluster::Unknown(error)) => {
            format!(", and the cluster could not be asked which it is of ({error})")
        }
        _ => String::new(),
    }
}

/// What the first control plane was made with; none: its config is not there.
fn texts_of_founder(dir: &ClusterDir, launched: &Cluster) -> Result<Option<OperatorTexts>> {
    let Some(path) = launched.founder().map(|node| dir.ignition(&node.name)) else {
        return Ok(None);
    };
    let Some(config) = files::read_optional(&path)? else {
        return Ok(None);
    };
    let texts = operator_texts(&config);
    texts
        .map(Some)
        .with_context(|| format!("{} cannot be understood", path.display()))
}

/// What is accepted, but is told to a node once, at its making.
fn unreached_line(difference: &Difference) -> Option<String> {
    match reach_of(difference) {
        Reach::NewNodes(None) => Some(format!(
            "{difference}: nodes that stand keep theirs, only new nodes get it"
        )),
        Reach::NewNodes(Some(way)) => Some(format!(
            "{difference}: nodes that stand keep theirs; there: {way}"
        )),
        Reach::AlreadyThere => Some(format!(
            "{difference}: the cluster has it already, new nodes get it"
        )),
        Reach::Whole | Reach::Refused { .. } => None,
    }
}
