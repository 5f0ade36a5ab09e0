use super::*;

#[test]
fn a_file_of_a_config_is_read() {
    let config = IgnitionConfig::default().file("/etc/x", 0o644, "text");
    let config = config.json().to_string();
    assert_eq!(file_in_config(&config, "/etc/x").unwrap(), "text");
    assert!(file_in_config(&config, "/etc/y").is_err());
}

#[test]
fn what_is_fetched_is_named() {
    let mut config = IgnitionConfig::default().file("/etc/x", 0o644, "").json();
    assert!(remote_sources(&config.to_string()).unwrap().is_empty());
    config["ignition"]["config"]["merge"] = json!([{"source": "https://a/b.ign"}]);
    config["storage"]["files"][0]["contents"]["source"] = json!("http://a/x.raw");
    let mut sources = remote_sources(&config.to_string()).unwrap();
    sources.sort();
    assert_eq!(sources, ["http://a/x.raw", "https://a/b.ign"]);
    assert!(
        remote_sources("{}").is_err(),
        "not a config that makes a node"
    );
}

#[test]
fn links_of_a_config_are_read() {
    let config = IgnitionConfig::default().link("/etc/x", "/opt/y").json();
    let links = links_in_config(&config.to_string()).unwrap();
    assert_eq!(links, [("/etc/x".into(), "/opt/y".into())]);
}
