//! `launch FILE`.

use std::thread::available_parallelism;

use anyhow::Result;
use ha_host_base::exit::Exit;

use crate::cli::LaunchArgs;
use crate::launch::report::Report;
use crate::launch::{self, Options};
use crate::launch_picture::PictureReport;
use crate::progress::{self, InterruptibleReport};
use crate::source;
use crate::state::StateRoot;

/// Making a machine is mostly waiting for a disk and for other programs: fewer at a time leave a small host idle.
const LEAST_PARALLEL: usize = 4;

/// Reads the file, chooses how it looks, launches.
pub fn run(args: &LaunchArgs, root: &StateRoot) -> Result<Exit> {
    let pictured = PictureReport::new(progress::choose_report(args.json));
    let inner = Box::new(pictured);
    let mut report = InterruptibleReport::begin(inner, args.json, &args.file, args.timeout);
    let result = read_and_launch(args, root, &mut report);
    report.finish(result)
}

fn read_and_launch(args: &LaunchArgs, root: &StateRoot, report: &mut dyn Report) -> Result<Exit> {
    let source = source::read_source(&args.file, Some(root))?;
    super::print_warnings(&source);
    let processors = available_parallelism().map_or(1, usize::from);
    let default = processors.max(LEAST_PARALLEL);
    let options = Options {
        timeout: args.timeout,
        parallel: args.parallel.map_or(default, usize::from),
        found: args.found,
    };
    launch::launch_cluster(&source, root, report, options)
}
