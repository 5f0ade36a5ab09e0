//! `launch FILE`.

use anyhow::Result;
use ha_host_base::exit::{Exit, Stop};

use crate::cli::Launch;
use crate::state::Root;
use crate::{launch, progress, source};

/// Reads the file, chooses how it looks, launches.
pub fn run(args: &Launch, root: &Root) -> Result<Exit> {
    let source = source::read(&args.file)?;
    let mut show = progress::of(args.json);
    let result = launch::launch(&source, root, &mut *show, args.timeout);
    if let Err(error) = &result
        && !matches!(error.downcast_ref(), Some(Stop::Said(_)))
    {
        show.error(&format!("{error:#}"));
    }
    result
}
