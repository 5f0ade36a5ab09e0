//! `destroy CLUSTER`: removes everything that `launch` made, also after a half-made launch, and nothing else.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use anyhow::Result;
use ha_cluster_file::cluster::Cluster;
use ha_host_base::exit::Stop;
use ha_host_base::text::{pluralize, shown_path};

use crate::cli::DestroyArgs;
use crate::source;
use crate::state::{ClusterLife, StateRoot, record_life};

/// Machines first, the state last: cut off anywhere, it can be run again.
pub fn run(args: &DestroyArgs, root: &StateRoot) -> Result<()> {
    let dir = source::find_cluster(root, &args.cluster)?;
    let name = dir.record()?.map(|r| r.name).unwrap_or_default();
    if !args.yes && !is_confirmed(&name, dir.removable()?.as_ref(), dir.path())? {
        println!("nothing was removed");
        return Ok(());
    }
    let path = dir.path().to_owned();
    let store = dir.lock_known()?;
    // Under the lock: a launch may have accepted another file meanwhile.
    let cluster = store.removable()?;
    record_life(&store, ClusterLife::Destroying)?;
    if let Some(cluster) = &cluster {
        ha_providers::provider_of(cluster, store.path())?.destroy()?;
    }
    let launched = cluster.filter(|c| c.provider.makes_machines());
    let left = store.remove()?;
    println!(
        "{}",
        describe_removal(&name, launched.is_some(), &path, &left)
    );
    Ok(())
}

/// What is gone, and what is not.
fn describe_removal(name: &str, had_machines: bool, path: &Path, left: &[String]) -> String {
    let what = if had_machines {
        "machines, disks, keys"
    } else {
        "keys"
    };
    let path = shown_path(path);
    let mut text = match left {
        [] => format!("{name} is gone: {what} and {path}"),
        left => format!(
            "{name} is gone: {what}; {path} stays, for ha-host did not make what else is in it: {}",
            left.join(", ")
        ),
    };
    if !had_machines {
        text += "\n  machines that were made by others from its configs are theirs: they run on";
    }
    text
}

fn is_confirmed(name: &str, cluster: Option<&Cluster>, dir: &Path) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Stop::bad_input(format!(
            "destroy asks first, and nobody can answer here: ha-host destroy {name} --yes"
        )));
    }
    print!("{}", confirmation_question(name, cluster, dir));
    std::io::stdout().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == name)
}

fn confirmation_question(name: &str, cluster: Option<&Cluster>, dir: &Path) -> String {
    let dir = shown_path(dir);
    let launched = cluster.filter(|c| c.provider.makes_machines());
    let what = match launched.map(|c| c.nodes.len()) {
        None => "the keys".to_owned(),
        // A stand-in of which only the provider is known.
        Some(0) => "all its machines, their disks and the keys".to_owned(),
        Some(nodes) => format!("its {}, their disks and the keys", pluralize(nodes, "node")),
    };
    format!("Remove {name} for good: {what}, and what ha-host keeps in {dir}? Type the name: ")
}

#[cfg(test)]
mod tests {
    use ha_test_support::{DEMO, demo_cluster, parse_cluster};

    use super::*;

    #[test]
    fn the_question_names_all_that_goes() {
        let dir = Path::new("/s/demo");
        let asked = confirmation_question("demo", Some(&demo_cluster()), dir);
        assert!(
            asked.contains("its 5 nodes, their disks and the keys") && asked.contains("/s/demo"),
            "{asked}"
        );
        let none = parse_cluster(&format!("{DEMO}provider: none\n"), Path::new("/"));
        let asked = confirmation_question("demo", Some(&none), dir);
        assert!(
            asked.contains("demo for good: the keys, and") && !asked.contains("disks"),
            "{asked}"
        );
    }

    #[test]
    fn the_end_says_what_really_went() {
        let dir = Path::new("/s/demo");
        assert_eq!(
            describe_removal("demo", true, dir, &[]),
            "demo is gone: machines, disks, keys and /s/demo"
        );
        let none = describe_removal("demo", false, dir, &[]);
        assert!(
            none.starts_with("demo is gone: keys and /s/demo\n") && none.ends_with("they run on"),
            "{none}"
        );
        let left = describe_removal("demo", true, dir, &["a".into(), "b".into()]);
        assert!(
            left.contains("/s/demo stays") && left.ends_with("in it: a, b"),
            "{left}"
        );
    }
}
