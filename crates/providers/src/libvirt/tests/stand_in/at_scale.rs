//! A hundred nodes at a host that is far away.

use super::*;

/// What a launch may ask a host before it makes anything: four calls that look at the host, four at what is to be made.
const BEFORE_ANYTHING: usize = 8;

fn cluster_of_hundred() -> StandInFixture {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("disk.img");
    std::fs::write(&image, [7; 4096]).unwrap();
    let mut cluster = libvirt_cluster(&format!("{{path: {}}}", image.display()), "");
    let one = cluster.nodes[1].clone();
    cluster.nodes.extend((3..=100).map(|number| Node {
        name: format!("node{number}"),
        address: format!("10.79.0.{}", 100 + number).parse().unwrap(),
        ..one.clone()
    }));
    StandInFixture::of(cluster, dir)
}

#[test]
fn a_hundred_nodes_cost_no_more_questions_than_one() {
    with_stand_in(|| {
        let fixture = cluster_of_hundred();
        fixture.answer_all();
        assert_eq!(bad_findings(&fixture.provider), []);
        assert_eq!(fixture.calls().len(), 4, "{:#?}", fixture.calls());
        let states = fixture.provider.states(&fixture.cluster.nodes).unwrap();
        assert_eq!(states, [Machine::Absent; 100]);
        fixture.provider.prepare().unwrap();
        let before = fixture.first_change().unwrap();
        assert!(
            before <= BEFORE_ANYTHING,
            "{:#?}",
            &fixture.calls()[..=before]
        );
        // All of them run: two calls tell what they do.
        for node in &fixture.cluster.nodes {
            let name = fixture.provider.names.domain(&node.name);
            let mark = fixture.provider.hosts["qemu:///system"].mark(&node.name);
            let xml = format!("<domain type='kvm'><name>{name}</name>{mark}</domain>");
            std::fs::write(fixture.host.join("dom").join(&name), xml).unwrap();
            std::fs::write(fixture.host.join("run").join(&name), "").unwrap();
        }
        fixture.answer_all();
        let states = fixture.provider.states(&fixture.cluster.nodes).unwrap();
        assert_eq!(states, [Machine::Running; 100]);
        assert!(fixture.calls().len() <= 3, "{:#?}", fixture.calls());
    });
}

#[test]
fn no_more_than_eight_ask_a_host_at_once() {
    with_stand_in(|| {
        let fixture = StandInFixture::with_running_node();
        let most = fixture.most_at_once(8, || {
            std::thread::scope(|scope| {
                for _ in 0..40 {
                    scope.spawn(|| fixture.provider.state(fixture.node()).unwrap());
                }
            });
        });
        assert_eq!(most, 8, "of forty that wanted to");
    });
}

#[test]
fn a_question_whose_answer_was_lost_is_asked_again() {
    with_stand_in(|| {
        let fixture = StandInFixture::with_running_node();
        for after in 0..2 {
            fixture.lose_answers(after, 1, "lost");
            assert_eq!(
                fixture.provider.state(fixture.node()).unwrap(),
                Machine::Running
            );
        }
        fixture.lose_answers(0, 100, "lost");
        assert!(fixture.provider.state(fixture.node()).is_err());
    });
}

#[test]
fn a_pool_of_our_own_lies_in_a_directory_of_its_own() {
    with_stand_in(|| {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("disk.img");
        std::fs::write(&image, [7; 4096]).unwrap();
        let fixture = StandInFixture::of(
            libvirt_cluster(&format!("{{path: {}}}", image.display()), ", pool: fast"),
            dir,
        );
        // The stand-in's pools show the same volumes.
        std::fs::remove_file(fixture.host.join("vol/foreign.qcow2")).unwrap();
        fixture.provider.prepare().unwrap();
        let xml = std::fs::read_to_string(fixture.host.join("pool/fast")).unwrap();
        assert!(
            xml.contains("<path>/var/lib/libvirt/images/fast</path>"),
            "{xml}"
        );
        fixture.provider.destroy().unwrap();
        assert!(!fixture.host.join("pool/fast").exists());
    });
}

/// Another cluster's destroy comes between the upload of the image and the first disk over it.
#[test]
fn an_image_that_was_tidied_away_is_brought_again() {
    with_stand_in(|| {
        let fixture = StandInFixture::new();
        fixture.provider.prepare().unwrap();
        let image = fixture
            .ours()
            .into_iter()
            .find(|name| name.starts_with("vol/ha-host.image."));
        std::fs::remove_file(fixture.host.join(image.unwrap())).unwrap();
        assert_eq!(fixture.ensure().unwrap(), NEW);
    });
}

/// While a disk over an image is made no destroy looks what is unused; and while one looks, no disk is made.
#[test]
fn who_uses_images_and_who_tidies_them_away_exclude_each_other() {
    with_stand_in(|| {
        let fixture = StandInFixture::new();
        fixture.provider.prepare().unwrap();
        let lock = || std::fs::File::open(fixture.dir.path().join(".libvirt-images.lock")).unwrap();
        let make = || drop(fixture.ensure().unwrap());
        fixture.while_held("vol-create", make, || {
            assert!(lock().try_lock().is_err(), "somebody makes a disk");
            lock().try_lock_shared().expect("others may too");
        });
        lock().try_lock().expect("the disk is made");
        // A destroy looks at the stranger's volume alone, at all of its own together.
        let destroy = || fixture.destroy().unwrap();
        fixture.while_held("vol-dumpxml", destroy, || {
            assert!(lock().try_lock_shared().is_err(), "somebody tidies up");
        });
        lock().try_lock().expect("the destroy has ended");
    });
}
