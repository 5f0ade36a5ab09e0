//! `loadBalancer.mode` and what goes with it: images for the container modes, podman for quadlets, no unit beside either.

use crate::diagnostic::Fault;
use crate::file::{ClusterFile, Spanned};
use ha_wire::phase::Role;
use ha_wire::settings::LbMode;

/// What the bakery's sysexts of these names run by themselves.
const PROGRAMS: [&str; 2] = ["keepalived", "haproxy"];
/// Of Flatcar's own extensions, and of the sysext in its place.
const PODMAN: &str = "podman";
const EXAMPLE: &str = "registry.example.org/NAME@sha256:... (64 hexadecimal digits)";

pub(super) fn check_runners(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let Some(mode) = &file.load_balancer.mode else {
        return;
    };
    let images = &file.load_balancer.images;
    let given = [&images.keepalived, &images.haproxy];
    if !mode.value.is_in_containers() {
        let of_no_use = given.into_iter().flatten();
        faults.extend(of_no_use.map(|image| {
            let help = "leave it out, or write `mode: quadlet` or `mode: staticPod`";
            image.error(
                "is not run: keepalived and haproxy are units of the node",
                help,
            )
        }));
        return;
    }
    given
        .into_iter()
        .flatten()
        .for_each(|image| check_runner_image(image, faults));
    let named = PROGRAMS.into_iter().zip(given);
    let missing: Vec<&str> = named
        .filter_map(|(program, image)| image.is_none().then_some(program))
        .collect();
    if !missing.is_empty() {
        let message = format!(
            "runs {} from container images, and none is named",
            missing.join(" and ")
        );
        let images: Vec<String> = missing
            .iter()
            .map(|program| format!("{program}: NAME@sha256:..."))
            .collect();
        let help = format!("write `images: {{{}}}` beside it", images.join(", "));
        faults.push(mode.error(message, help));
    }
    check_no_sysext_beside(file, mode, faults);
    match mode.value {
        LbMode::Quadlet => check_podman(file, mode, faults),
        _ => check_no_login(file, faults),
    }
}

/// A tag may be moved, and control planes that are made later would run another program.
fn check_runner_image(image: &Spanned<String>, faults: &mut Vec<Fault>) {
    let text = image.value.as_str();
    let Some((name, digest)) = text.split_once("@sha256:") else {
        let message = format!("`{text}` names no digest: what a tag means may change");
        faults.push(image.error(message, format!("write {EXAMPLE}")));
        return;
    };
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let host = name.split_once('/').map_or("", |(host, _)| host);
    let of_name = |c: char| c.is_ascii_alphanumeric() || "./_-:".contains(c);
    let whole = host.contains(['.', ':']) || host == "localhost";
    if digest.len() != 64 || !digest.chars().all(hex) || !whole || !name.chars().all(of_name) {
        let message = format!("`{text}` is not the whole name of an image with its digest");
        faults.push(image.error(
            message,
            format!("write {EXAMPLE}, the registry's host first"),
        ));
    }
}

fn check_no_sysext_beside(file: &ClusterFile, mode: &Spanned<LbMode>, faults: &mut Vec<Fault>) {
    let twice = |name: &str| PROGRAMS.contains(&name);
    let twice = file.sysexts.iter().filter(|s| twice(&s.name.value));
    faults.extend(twice.map(|sysext| {
        let help = "leave it out: its unit would run beside the container";
        let fault = sysext.name.error("runs from a container image here", help);
        fault.also(mode.place, mode.path.clone())
    }));
}

/// With `sysexts: {}` the image has everything.
fn check_podman(file: &ClusterFile, mode: &Spanned<LbMode>, faults: &mut Vec<Fault>) {
    let named = |list: &[Spanned<String>]| list.iter().any(|name| name.value == PODMAN);
    let is_control_plane = |role: &Option<Spanned<Role>>| {
        role.as_ref()
            .is_none_or(|at| at.value == Role::ControlPlane)
    };
    let mut planes = file
        .entries()
        .iter()
        .filter(|node| is_control_plane(&node.role));
    let image_has_all = file.sysexts_given && file.sysexts.is_empty();
    let has_podman = named(&file.flatcar_extensions)
        || file.sysexts.iter().any(|s| s.name.value == PODMAN)
        || planes.all(|node| named(&node.flatcar_extensions));
    if !image_has_all && !has_podman {
        let help = "write `flatcarExtensions: [podman]`, or list a sysext `podman`";
        faults.push(mode.error("needs podman on every control plane", help));
    }
}

/// What a static pod is given, the API shows to everybody who may read pods.
fn check_no_login(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let user = file
        .load_balancer
        .stats
        .iter()
        .flat_map(|stats| &stats.user);
    faults.extend(user.map(|user| {
        let help = "leave `user` and `passwordFile` out (the page is on 127.0.0.1 then), or take mode native or quadlet";
        user.error("has a password, which a static pod cannot keep to itself", help)
    }));
}
