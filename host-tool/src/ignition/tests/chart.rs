//! How Cilium's chart reaches the control planes, and that it fits.

use super::*;
use crate::inputs::packed_chart;

/// Where each node's file says that the chart is, and the bytes that its config holds.
fn charts_in_configs(provider: &str, chart: &[u8]) -> Vec<(Option<String>, Option<Vec<u8>>)> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cilium-1.20.2.tgz"), chart).unwrap();
    let text = DEMO.replace(
        "proxy: nftables, cni: none",
        "cni: {cilium: {chart: cilium-1.20.2.tgz}}",
    );
    let cluster = parse_cluster(
        &format!("{text}provider: {provider}\nsysexts: none\n"),
        dir.path(),
    );
    let files = read_operator_files(&cluster).unwrap();
    let of_config = |config: &Value| {
        let all = config["storage"]["files"].as_array().unwrap();
        let of = |path: &str| {
            let file = all.iter().find(|file| file["path"] == path)?;
            let source = file["contents"]["source"].as_str()?;
            STANDARD.decode(source.strip_prefix("data:;base64,")?).ok()
        };
        let node = String::from_utf8(of(paths::NODE_FILE).unwrap()).unwrap();
        let Cni::Cilium { version, chart, .. } = NodeFile::parse(&node).unwrap().cni else {
            panic!("{node}")
        };
        assert_eq!(version, "1.20.2", "by the file's name");
        (chart, of(paths::CILIUM_CHART))
    };
    let configs = render_all_nodes(&cluster, &files, None);
    configs.iter().map(of_config).collect()
}

#[test]
fn control_planes_get_it_in_their_config_or_by_the_assets_disk() {
    let chart = packed_chart("cilium", "1.20.2");
    let inline = charts_in_configs("none", &chart);
    let here = (Some(paths::CILIUM_CHART.to_owned()), Some(chart.clone()));
    assert_eq!(inline[..3], [here.clone(), here.clone(), here]);
    assert_eq!(inline[3], (None, None), "workers install nothing");
    let disk = charts_in_configs("{qemu: {arch: x86-64}}", &chart);
    let there = (Some("/run/ha-assets/cilium-chart.tgz".to_owned()), None);
    assert_eq!(disk[..3], [there.clone(), there.clone(), there]);
}
