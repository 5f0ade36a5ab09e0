//! What is in the store: found, listed, removed.

use ha_host_base::exit::Stop as End;

use super::fixture::RecordedProgress;
use super::*;

/// Three versions of two channels.
fn fixture_with_three_images() -> Fixture {
    let fixture = Fixture::new();
    let packed = bzip2_streams(&[&incompressible_image(1000)]);
    for (channel, version) in [
        ("stable", "4230.2.9"),
        ("stable", "4230.2.10"),
        ("beta", "4300.1.0"),
    ] {
        fixture.publish(version, &packed);
        let wanted = WantedImage {
            channel: channel.to_owned(),
            ..fixture.wanted(None)
        };
        fixture
            .store()
            .pull(&wanted, &mut RecordedProgress::default())
            .unwrap();
    }
    fixture
}

#[test]
fn the_newest_of_a_channel_is_found() {
    let fixture = fixture_with_three_images();
    let found = |channel, version| {
        let path = fixture
            .store()
            .find(channel, version, Arch::X86_64)
            .unwrap()?;
        let dir = path.parent().unwrap().file_name().unwrap().to_owned();
        Some(dir.into_string().unwrap())
    };
    assert_eq!(found("stable", None).as_deref(), Some("4230.2.10"));
    assert_eq!(found("beta", None).as_deref(), Some("4300.1.0"));
    assert_eq!(found("alpha", None), None);
    assert_eq!(
        found("stable", Some("4230.2.9")).as_deref(),
        Some("4230.2.9")
    );
    assert_eq!(found("stable", Some("1.1.1")), None);
}

#[test]
fn an_image_in_use_stays() {
    let fixture = fixture_with_three_images();
    let state = fixture.path_out("state");
    let machines = state.join("demo/machines");
    std::fs::create_dir_all(&machines).unwrap();
    let used = fixture
        .store()
        .find("stable", None, Arch::X86_64)
        .unwrap()
        .unwrap();
    std::fs::write(
        machines.join(IN_USE),
        format!("/elsewhere\n{}\n", used.display()),
    )
    .unwrap();
    let clusters = [ClusterMachines {
        name: "demo".to_owned(),
        dir: machines.clone(),
    }];
    assert_eq!(clusters_using(&clusters, &used), ["demo"]);

    let remove = |versions: &[&str]| {
        let versions: Vec<String> = versions.iter().map(|v| (*v).to_owned()).collect();
        fixture
            .store()
            .remove(&versions, None, &clusters, &mut RecordedProgress::default())
    };
    let error = remove(&["4230.2.9", "4230.2.10"]).unwrap_err();
    assert!(error.to_string().contains("in use by demo"), "{error:#}");
    for unknown in ["1.1.1", "..", "../x86-64"] {
        let error = remove(&["4230.2.9", unknown]).unwrap_err();
        assert!(
            matches!(error.downcast_ref(), Some(End::BadInput(_))),
            "{error:#}"
        );
        assert!(
            error.to_string().contains("there are 4230.2.9 (x86-64)"),
            "{error:#}"
        );
    }
    assert_eq!(
        fixture.store().list().unwrap().len(),
        3,
        "nothing was removed yet"
    );

    remove(&["4230.2.9"]).unwrap();
    assert_eq!(
        fixture
            .store()
            .find("stable", Some("4230.2.9"), Arch::X86_64)
            .unwrap(),
        None
    );
    std::fs::remove_file(machines.join(IN_USE)).unwrap();
    remove(&["4230.2.10"]).unwrap();
    assert_eq!(fixture.store().list().unwrap().len(), 1);
    assert!(
        !fixture.names().iter().any(|n| n.starts_with('.')),
        "{:?}",
        fixture.names()
    );
}

#[test]
fn clusters_of_other_state_directories_are_looked_at_too() {
    let fixture = fixture_with_three_images();
    let used = fixture
        .store()
        .find("stable", Some("4230.2.10"), Arch::X86_64)
        .unwrap()
        .unwrap();
    let machines = fixture.path_out("elsewhere/demo/machines");
    std::fs::create_dir_all(&machines).unwrap();
    std::fs::write(machines.join(IN_USE), used.display().to_string()).unwrap();
    for _ in 0..2 {
        fixture.store().remember_machines(&machines).unwrap();
    }
    let remove = || {
        let versions = ["4230.2.10".to_owned()];
        let bar = &mut RecordedProgress::default();
        fixture.store().remove(&versions, None, &[], bar)
    };
    let error = remove().unwrap_err().to_string();
    let name = machines.parent().unwrap().display();
    assert!(error.contains(&format!("in use by {name}: ")), "{error}");
    // A directory where a file should be: nobody can say that the image is free.
    std::fs::remove_file(machines.join(IN_USE)).unwrap();
    std::fs::create_dir(machines.join(IN_USE)).unwrap();
    let error = remove().unwrap_err().to_string();
    assert!(error.contains("which cannot be read"), "{error}");
    std::fs::remove_dir_all(fixture.path_out("elsewhere")).unwrap();
    remove().unwrap();
}

#[test]
fn what_cut_off_work_left_is_cleared() {
    let fixture = fixture_with_three_images();
    std::fs::create_dir(fixture.path(".gone-0")).unwrap();
    let ready = fixture.path(".new-x86-64-5.5.5/ready");
    std::fs::create_dir_all(&ready).unwrap();
    std::fs::write(ready.join("flatcar_production_qemu_image.img"), "half").unwrap();
    assert_eq!(
        fixture
            .store()
            .find("stable", Some("5.5.5"), Arch::X86_64)
            .unwrap(),
        None
    );
    fixture.publish("5.5.5", &bzip2_streams(&[&incompressible_image(1000)]));
    fixture.pull("5.5.5").unwrap();
    assert_eq!(fixture.names(), ["lock", "x86-64"]);
}
