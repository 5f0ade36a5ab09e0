//! What a launch leaves behind for people: the facts that were seen of it, and one page that shows them.
//!
//! `kept.rs` is the format of the facts, `keeper.rs` keeps them while the launch goes on, `story.rs` reads them, `chart.rs` and
//! `page.rs` draw. From the facts on everything is pure.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ha_host_base::exit::Stop;
use ha_host_base::files;

mod chart;
mod escape;
mod keeper;
mod kept;
mod page;
mod story;
#[cfg(test)]
mod tests;
mod words;

pub use keeper::PictureReport;

use crate::state::ClusterDir;
use kept::KeptFact;

/// The page of the launch whose facts a state directory holds.
pub fn picture_of(dir: &ClusterDir) -> Result<String> {
    let path = dir.launch_facts();
    let text = files::read_optional(&path)?.ok_or_else(|| {
        Stop::bad_input(format!(
            "nothing is kept of a launch in {}: a launch of this version leaves it there",
            ha_host_base::text::shown_path(dir.path())
        ))
    })?;
    let facts =
        kept::parse_facts(&text).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(page_of_facts(&facts))
}

fn page_of_facts(facts: &[KeptFact]) -> String {
    page::render_page(&story::LaunchStory::of_facts(facts))
}

/// Draws it into its place in the state directory.
fn write_picture(facts: &[KeptFact], to: &Path) -> Result<PathBuf> {
    files::write_atomic(to, page_of_facts(facts).as_bytes())?;
    Ok(to.to_owned())
}
