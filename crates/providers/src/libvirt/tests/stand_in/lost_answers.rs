//! No answer that is lost, and none that makes no sense, costs a machine.

use super::*;

/// How an answer goes wrong.
const HOWS: [&str; 4] = ["refused", "lost", "silent", "nonsense"];

#[test]
fn a_node_that_runs_is_only_looked_at() {
    with_stand_in(|| {
        let fixture = StandInFixture::with_running_node();
        fixture.answer_all();
        assert_eq!(fixture.ensure().unwrap(), Made::Running);
        let whole = fixture.calls().len();
        assert_eq!(fixture.first_change(), None, "{:?}", fixture.calls());
        for how in HOWS {
            for (after, count) in (0..whole + 2).flat_map(|at| [(at, 1), (at, 2)]) {
                fixture.lose_answers(after, count, how);
                let made = fixture.ensure();
                let calls = fixture.calls();
                assert_eq!(
                    fixture.first_change(),
                    None,
                    "{after} {count} {how}: {made:?} {calls:?}"
                );
            }
        }
        fixture.answer_all();
        assert_eq!(
            (fixture.ensure().unwrap(), fixture.read_data().as_str()),
            (Made::Running, "the node's data")
        );
        fixture.stranger_is_whole();
    });
}

#[test]
fn a_disk_whose_domain_was_undefined_gets_a_domain_again() {
    with_stand_in(|| {
        let fixture = StandInFixture::with_running_node();
        for part in ["dom", "run"] {
            std::fs::remove_file(fixture.host.join(part).join("t-one")).unwrap();
        }
        assert_eq!(fixture.launch().unwrap(), Made::PoweredOn);
        assert_eq!(fixture.read_data(), "the node's data");
        assert!(fixture.host.join("run/t-one").exists());
    });
}

#[test]
fn a_disk_that_is_none_is_an_error_that_names_the_way() {
    with_stand_in(|| {
        let fixture = StandInFixture::with_running_node();
        for part in ["dom", "run"] {
            std::fs::remove_file(fixture.host.join(part).join("t-one")).unwrap();
        }
        let disk = fixture.disk();
        std::fs::write(&disk, vec![1; 1 << 20]).unwrap();
        let meta = fixture.host.join("meta").join(disk.file_name().unwrap());
        std::fs::write(meta, "raw -\n").unwrap();
        let error = fixture.launch().unwrap_err();
        let unfit = error.downcast_ref::<crate::Unfit>().unwrap();
        assert!(
            unfit.remedy.contains("ha-host remake t one --ignition /"),
            "{unfit}"
        );
        assert_eq!(fixture.read_data().len(), 1 << 20);
    });
}

/// Every place where a launch can be cut off; ordinarily every eighth, as all of them take minutes.
#[test]
fn a_launch_with_a_lost_answer_is_finished_by_the_next() {
    with_stand_in(|| launch_despite_cuts(if share_of_every_cut().is_some() { 1 } else { 8 }));
}

fn launch_despite_cuts(step: usize) {
    let fixture = StandInFixture::new();
    fixture.answer_all();
    fixture.launch().unwrap();
    let whole = fixture.calls().len();
    for (at, after) in (0..whole).step_by(step).enumerate() {
        let hows = if step == 1 {
            &HOWS[..]
        } else {
            &HOWS[at % 4..=at % 4]
        };
        for how in hows {
            let fixture = StandInFixture::new();
            fixture.lose_answers(after, 1, how);
            let made = fixture.launch();
            let calls = fixture.calls();
            fixture.stranger_is_whole();
            fixture.answer_all();
            fixture
                .launch()
                .unwrap_or_else(|e| panic!("{after} {how}: {made:?} {calls:#?}: {e:#}"));
            assert!(
                fixture.host.join("run/t-one").exists(),
                "{after} {how}: {calls:#?}"
            );
            fixture.stranger_is_whole();
            fixture.answer_all();
            fixture.destroy().unwrap();
            assert_eq!(fixture.ours(), [""; 0], "{after} {how}: {calls:#?}");
            fixture.stranger_is_whole();
        }
    }
}

/// Likewise; an answer that lists nothing is the one that misleads.
#[test]
fn a_destroy_that_says_it_is_done_has_left_nothing() {
    with_stand_in(|| {
        if share_of_every_cut().is_some() {
            destroy_despite_cuts(&HOWS, 2, 1);
        } else {
            destroy_despite_cuts(&["silent"], 1, 8);
        }
    });
}

fn destroy_despite_cuts(hows: &[&str], longest: usize, step: usize) {
    let fixture = StandInFixture::with_running_node();
    fixture.answer_all();
    fixture.destroy().unwrap();
    let whole = fixture.calls().len();
    assert_eq!(fixture.ours(), [""; 0]);
    for how in hows {
        for (after, count) in cuts_of(whole, longest, step) {
            let fixture = StandInFixture::with_running_node();
            fixture.lose_answers(after, count, how);
            let done = fixture.destroy();
            let (calls, record) = (
                fixture.calls(),
                fixture.provider.machines.join("libvirt.json"),
            );
            fixture.stranger_is_whole();
            match done {
                Ok(()) => assert_eq!(fixture.ours(), [""; 0], "{after} {count} {how}: {calls:#?}"),
                Err(_) => assert!(record.exists(), "{after} {count} {how}: {calls:#?}"),
            }
            fixture.answer_all();
            fixture.destroy().unwrap();
            assert_eq!(fixture.ours(), [""; 0], "{after} {count} {how}: {calls:#?}");
            fixture.stranger_is_whole();
        }
    }
}

/// After how many calls an answer goes wrong, and how many do.
fn cuts_of(whole: usize, longest: usize, step: usize) -> Vec<(usize, usize)> {
    let places = (0..whole).step_by(step);
    let cuts = places.flat_map(|at| (1..=longest).map(move |count| (at, count)));
    cuts.collect()
}

/// Two hosts: the first one does not answer.
#[test]
fn one_host_that_fails_does_not_stop_the_others() {
    with_stand_in(|| {
        let fixture = StandInFixture::with_running_node();
        let machines = &fixture.provider.machines;
        let mut record = Record::load(machines).unwrap().unwrap();
        let known = record.hosts[0].clone();
        record.hosts.insert(
            0,
            Known {
                uri: "qemu+ssh://dead/system".into(),
                ..known
            },
        );
        record.save(machines).unwrap();
        // All that the first host is asked fails; the stand-in is the same for both.
        fixture.lose_answers(0, 3, "refused");
        assert!(fixture.destroy().is_err());
        assert_eq!(fixture.ours(), [""; 0]);
        assert!(machines.join("libvirt.json").exists());
    });
}
