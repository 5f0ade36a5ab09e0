//! `launch FILE`.

use anyhow::Result;

use crate::cli::Launch;
use crate::exit::Exit;
use crate::state::Root;
use crate::{launch, progress, source};

/// Reads the file, chooses how it looks, launches.
pub fn run(args: &Launch, root: &Root) -> Result<Exit> {
    let source = source::read(&args.file)?;
    let mut show = progress::of(args.json);
    launch::launch(&source, root, &mut *show, args.timeout)
}
