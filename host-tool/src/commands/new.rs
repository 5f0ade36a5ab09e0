//! `new [FILE]`: a commented cluster file with every key.

use std::io::{ErrorKind, Write};

use anyhow::Result;
use ha_host_base::exit::Stop;

use crate::cli::NewArgs;

/// Never over an existing file.
pub fn run(args: &NewArgs) -> Result<()> {
    let path = ha_host_base::text::shown_path(&args.file);
    let name = args
        .file
        .file_stem()
        .and_then(|s| s.to_str())
        .unwrap_or("cluster");
    let text = ha_cluster_file::template::commented_cluster_file(name);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&args.file);
    let mut file = file.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => Stop::bad_input(format!(
            "{path} exists and was not touched; name another file"
        )),
        _ => Stop::bad_input(format!("{path} cannot be written: {e}")),
    })?;
    file.write_all(text.as_bytes())?;
    println!(
        "{path} written: change the addresses, then  ha-host check {path}  and  ha-host launch {path}"
    );
    Ok(())
}
