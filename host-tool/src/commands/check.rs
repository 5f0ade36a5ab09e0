//! `check FILE`: everything that is wrong with a cluster file, and with the files that it names.

use std::path::Path;

use anyhow::Result;
use ha_cluster_file::check::named_files;
use ha_cluster_file::diagnostic::Fault;
use ha_host_base::exit::{Exit, Stop};
use serde_json::json;

use crate::cli::CheckArgs;
use crate::inputs::judge_named_files;
use crate::source::{self, FileFaults};
use crate::state::StateRoot;
use crate::{progress, source::Source};

/// The version of the JSON.
const VERSION: u32 = 1;

/// Faults go to standard error, all at once; a good file is described in one line.
pub fn run(args: &CheckArgs, root: Option<&StateRoot>) -> Result<Exit> {
    let open_files = |text: &str, base: &Path| judge_named_files(&named_files(text, base));
    let checked = source::check_source(&args.file, root, &open_files);
    if args.json {
        return print_verdict(args, checked);
    }
    let (source, _) = checked?;
    super::print_warnings(&source);
    let cluster = source.cluster;
    println!("{}: {}", cluster.name, progress::cluster_headline(&cluster));
    Ok(Exit::Done)
}

/// One JSON object, whatever the verdict. A file that cannot be read has none: an error as for people.
fn print_verdict(args: &CheckArgs, checked: Result<(Source, Vec<Fault>)>) -> Result<Exit> {
    let (name, faults) = match &checked {
        Ok((source, warnings)) => (Some(&source.cluster.name), warnings),
        Err(error) => match error.downcast_ref::<FileFaults>() {
            Some(FileFaults(faults)) => (None, faults),
            None => return checked.map(|_| Exit::Done),
        },
    };
    println!(
        "{}",
        json!({
            "version": VERSION, "file": args.file, "good": name.is_some(), "cluster": name, "faults": faults,
        })
    );
    match name {
        Some(_) => Ok(Exit::Done),
        None => Err(Stop::Said(Exit::BadInput).into()),
    }
}
