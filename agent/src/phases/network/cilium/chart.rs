//! A chart that the cluster file brings: a `.tgz` on this node, where the CLI wants a directory.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::phases::NeedsAPerson;
use crate::sys::Cmd;

const DIRECTORY: &str = "/run/ha-agent/cilium-chart";
/// A chart is some hundred kilobytes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Unpacks the chart into a directory of the agent's own, which is made anew, and gives its path.
pub async fn unpack_chart(cx: &Context, archive: &str) -> Result<String> {
    let files = &cx.sys.files;
    if !files.exists(archive) {
        return Err(no_chart(archive, "is not there"));
    }
    files.remove_dir(DIRECTORY)?;
    files.make_dir(DIRECTORY)?;
    let absolute = |name| files.path(name).to_string_lossy().into_owned();
    let (from, to) = (absolute(archive), absolute(DIRECTORY));
    // `helm package` puts all of a chart into one directory of its name.
    let args = [
        "--extract",
        "--gzip",
        "--strip-components=1",
        "--no-same-owner",
        "--no-same-permissions",
        "--file",
        &from,
        "--directory",
        &to,
    ];
    let unpacked = cx.sys.commands.run(Cmd::new("tar", &args, DEADLINE)).await;
    unpacked.with_context(|| format!("cannot unpack Cilium's chart {archive}"))?;
    if !files.exists(&format!("{DIRECTORY}/Chart.yaml")) {
        return Err(no_chart(
            archive,
            "holds no Chart.yaml in its one directory",
        ));
    }
    Ok(to)
}

fn no_chart(archive: &str, why: &str) -> anyhow::Error {
    NeedsAPerson(format!(
        "Cilium's chart {archive} {why}: name a chart as `helm package` makes it (kubernetes.cni.cilium.chart)"
    ))
    .into()
}
