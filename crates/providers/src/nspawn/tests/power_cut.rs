//! That a power cut of a node whose disk is an image loses what a machine of its own would lose, and that of another does not: the
//! tests of power cuts stand on this.

use super::*;

/// Two files each in the root and in a directory of `data/`: one synced, one not. A sync of one file commits the journal, so both
/// have a name on the disk; the blocks of the other are still to be given out.
const WRITE: &str = "for dir in /etc /var/lib/etcd; do echo kept > $dir/synced; echo lost > $dir/unsynced; sync $dir/synced $dir; done";
/// Prints what is left of them, a word each: the text, `empty` or `none`.
const READ: &str = "for file in /etc/synced /etc/unsynced /var/lib/etcd/synced /var/lib/etcd/unsynced; do \
                    if [ -s $file ]; then cat $file; elif [ -e $file ]; then echo empty; else echo none; fi; done";

#[test]
#[ignore = "needs root and HA_IMAGE"]
fn loses_what_was_not_synced() {
    run_alone(|fixture| {
        fixture.provider.disks_as_images = true;
        fixture.provider.prepare().unwrap();
        assert_eq!(fixture.ensure(0), NEW);
        fixture.wait_up(0);
        let left = left_after_a_cut(fixture, 0);
        assert_eq!(left, ["kept", "empty", "kept", "empty"]);
        // The disk goes on being one: an orderly reboot loses nothing, and the next cut does.
        fixture.run(0, &["sh", "-c", WRITE]);
        fixture
            .provider
            .power(fixture.node(0), Power::Reboot)
            .unwrap();
        fixture.wait_up(0);
        assert_eq!(left_of_files(fixture, 0), ["kept", "lost", "kept", "lost"]);
        let off = left_after_a_cut(fixture, 0);
        assert_eq!(off, ["kept", "empty", "kept", "empty"]);
        fixture.provider.power(fixture.node(0), Power::Off).unwrap();
        fixture.provider.power(fixture.node(0), Power::Off).unwrap();
        let dir = fixture.provider.dir(fixture.node(0));
        assert!(!dir.join(NodeDir::CUT).exists());
        fixture.provider.destroy().unwrap();
        assert_eq!(fixture.traces(), Vec::<String>::new());
        assert_eq!(loop_devices_of(&dir.0), Vec::<PathBuf>::new());
    });
}

#[test]
#[ignore = "needs root and HA_IMAGE"]
fn of_directories_loses_nothing() {
    run_alone(|fixture| {
        fixture.provider.prepare().unwrap();
        assert_eq!(fixture.ensure(0), NEW);
        fixture.wait_up(0);
        let left = left_after_a_cut(fixture, 0);
        assert_eq!(left, ["kept", "lost", "kept", "lost"]);
    });
}

fn left_after_a_cut(fixture: &NspawnFixture, at: usize) -> Vec<String> {
    let (provider, node) = (&fixture.provider, fixture.node(at));
    fixture.run(
        at,
        &["sh", "-c", "rm -f /etc/*synced /var/lib/etcd/*synced; sync"],
    );
    fixture.run(at, &["sh", "-c", WRITE]);
    provider.power(node, Power::Off).unwrap();
    assert_eq!(fixture.state(at), Machine::Off);
    provider.power(node, Power::On).unwrap();
    fixture.wait_up(at);
    left_of_files(fixture, at)
}

fn left_of_files(fixture: &NspawnFixture, at: usize) -> Vec<String> {
    let left = fixture.run(at, &["sh", "-c", READ]);
    left.lines().map(String::from).collect()
}

/// Loop devices of files in a directory.
fn loop_devices_of(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/sys/block").unwrap().flatten();
    let files =
        entries.filter_map(|e| std::fs::read_to_string(e.path().join("loop/backing_file")).ok());
    let files = files.map(|file| PathBuf::from(file.trim()));
    files.filter(|file| file.starts_with(dir)).collect()
}
