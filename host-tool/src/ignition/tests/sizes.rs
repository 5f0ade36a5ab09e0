//! How large configs may be, and are.

use super::*;

/// `size` letters that no compression makes shorter than about 5/8.
fn random_text(size: usize) -> String {
    let mut x = 88_172_645_463_325_252_u64;
    let mut letter = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        char::from(b'a' + (x % 26) as u8)
    };
    (0..size).map(|_| letter()).collect()
}

#[test]
fn configs_are_small_or_refused() {
    for config in render_all_nodes(&demo_cluster(), &OperatorFiles::default(), None) {
        assert!(config.to_string().len() < 16 * 1024);
    }
    let (cluster, pki) = (demo_cluster(), Pki::create().unwrap());
    let render = |letters, node: usize| {
        let mut files = OperatorFiles::default();
        let manifest = ("00-big.yaml".to_owned(), random_text(letters));
        files.manifests.push(manifest);
        let material = ConfigRenderer {
            cluster: &cluster,
            pki: &pki,
            files: &files,
            founder: None,
        };
        material.render(&cluster.nodes[node])
    };
    let large = render(200_000, 0).unwrap();
    assert!(large.text.expose().len() > 64 * 1024, "a warning alone");
    let error = render(600_000, 0).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Stop::BadInput(_))));
    let error = error.to_string();
    assert!(
        error.starts_with("node1's Ignition config would have"),
        "{error}"
    );
    assert!(
        error.contains("are /etc/ha-agent/manifests.d/00-big.yaml)"),
        "{error}"
    );
    assert!(render(600_000, 3).is_ok(), "workers get no manifests");
}

#[test]
fn large_configs_are_warned_of_above_64_and_refused_above_256_kib() {
    let part = || Some(("/etc/big".to_owned(), 60_000));
    let check = |size| size::check_config_size("node1", size, part());
    assert_eq!(check(65_536).unwrap(), None);
    let warning = check(65_537).unwrap().unwrap();
    assert!(
        warning
            .starts_with("node1's Ignition config has 65537 bytes (60000 of them are /etc/big);"),
        "{warning}"
    );
    assert!(check(262_144).unwrap().is_some());
    assert!(check(262_145).is_err());
}
