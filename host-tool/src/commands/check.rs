//! `check FILE`: everything that is wrong with a cluster file.

use anyhow::Result;

use crate::cli::Check;
use crate::{progress, source};

/// Faults go to standard error, all at once; a good file is described in one line.
pub fn run(args: &Check) -> Result<()> {
    let source = source::read_source(&args.file)?;
    super::print_warnings(&source);
    let cluster = source.cluster;
    println!("{}: {}", cluster.name, progress::cluster_headline(&cluster));
    Ok(())
}
