//! `report CLUSTER`: the page of its last launch, drawn again from the facts that were kept.

use std::path::Path;

use anyhow::Result;
use ha_host_base::exit::Stop;
use ha_host_base::files;
use ha_host_base::text::shown_path;

use crate::cli::ReportArgs;
use crate::launch_picture::picture_of;
use crate::source;
use crate::state::StateRoot;

/// Into the state directory, or where people say.
pub fn run(args: &ReportArgs, root: &StateRoot) -> Result<()> {
    let dir = source::find_cluster(root, &args.cluster)?;
    let page = picture_of(&dir)?;
    let path = match &args.output {
        Some(path) => {
            write_output(path, page.as_bytes(), args.force)?;
            path.clone()
        }
        None => {
            // Whoever launches right now has the right to write there.
            let store = dir.lock_known()?;
            files::write_atomic(&store.launch_picture(), page.as_bytes())?;
            store.launch_picture()
        }
    };
    println!("{}", shown_path(&path));
    Ok(())
}

fn write_output(path: &Path, page: &[u8], replace: bool) -> Result<()> {
    if replace {
        return files::write_atomic(path, page);
    }
    files::write_new(path, page).map_err(|error| {
        let kind = error
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        match kind {
            Some(std::io::ErrorKind::AlreadyExists) => Stop::bad_input(format!(
                "{} exists and was not touched; --force replaces it",
                shown_path(path)
            )),
            _ => error,
        }
    })
}
