//! Cilium: a chart that its CLI has or that is brought along, tested by Cilium itself with this Kubernetes, and names that it takes.

use serde_json::Value;

use crate::diagnostic::Fault;
use crate::file::{ClusterFile, CniFile, ProviderFile, Setting, Spanned, chart_file_version};
use crate::minors::{Minor, default_minor, known_minors};
use crate::version::version_parts;

/// The longest `cluster.name` that Cilium's charts take (install/kubernetes/cilium/templates/validate.yaml, 1.18.1 and 1.20.2).
const MAX_CLUSTER_NAME: usize = 32;

pub(super) fn check_cilium(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let cni = file.kubernetes.cni.as_ref().map(|cni| &cni.value);
    let Some(CniFile::Cilium {
        version,
        chart,
        values,
    }) = cni
    else {
        return;
    };
    if let Some(chart) = chart {
        super::files::check_local_path(chart, faults);
    }
    if let Some(version) = version {
        check_chart(file, version, chart.as_ref(), faults);
    }
    let owned = |key: &str| matches!(key, "k8sServiceHost" | "k8sServicePort");
    let keys = values.iter().map(|setting| &setting.key);
    for key in keys.filter(|key| owned(&key.value)) {
        let help = "leave it out: it is the VIP and its port";
        faults.push(
            key.error("points Cilium away from the cluster's endpoint", help)
                .warning(),
        );
    }
    check_cluster_name(file, values, faults);
}

fn check_chart(
    file: &ClusterFile,
    version: &Spanned<String>,
    chart: Option<&Spanned<String>>,
    faults: &mut Vec<Fault>,
) {
    let default = default_minor().cilium;
    if let Some(chart) = chart.filter(|_| !version.given)
        && chart_file_version(&chart.value).is_none()
    {
        let message = "needs a `version` beside it: the file's name does not say it";
        let help = format!("write the chart's own, e.g. `version: {default}`");
        faults.push(chart.error(message, help));
        return;
    }
    let Some(parts) = version_parts(&version.value) else {
        let message = format!("`{}` is not a valid chart version", version.value);
        let help = format!("write three numbers without v, e.g. {default}");
        faults.push(version.error(message, help));
        return;
    };
    let minor = file.minor();
    // Of a minor that only clusters that stand may have nothing can be chosen any more.
    let chosen = minor.filter(|minor| minor.for_new);
    if let Some((at, minor)) = file.kubernetes.version.as_ref().zip(chosen) {
        check_line(at, minor, version, parts, faults);
    }
    if chart.is_none() {
        check_embedded(
            file,
            minor.unwrap_or_else(default_minor),
            version,
            parts,
            faults,
        );
    }
}

/// Whether Cilium's own tests have this minor of Kubernetes. Of lines that are newer than all in the table nothing is known.
fn check_line(
    at: &Spanned<String>,
    minor: &Minor,
    version: &Spanned<String>,
    [major, line, _]: [u32; 3],
    faults: &mut Vec<Fault>,
) {
    let name = format!("{major}.{line}");
    let number = |line: &&str| version_parts(&format!("{line}.0"));
    let newest = known_minors().iter().flat_map(|minor| &minor.cilium_lines);
    let is_newer = Some([major, line, 0]) > newest.filter_map(number).max();
    if is_newer || minor.cilium_lines.contains(&name.as_str()) {
        return;
    }
    let has = |known: &&Minor| known.cilium_lines.contains(&name.as_str());
    let tested: Vec<String> = known_minors().iter().filter(has).map(Minor::name).collect();
    let tests = match tested.as_slice() {
        [] => String::new(),
        [one] => format!(": its own tests have {one}"),
        [first, .., last] => format!(": its own tests have {first} to {last}"),
    };
    let kubernetes = minor.name();
    let message = format!("Kubernetes {kubernetes} is not tested by Cilium {name}{tests}");
    let help = match minor.cilium_lines.last() {
        Some(line) => format!("take a chart of Cilium {line}"),
        None => format!(
            "write e.g. {}, or a chart of a newer line of Cilium that tests {kubernetes}",
            default_minor().example()
        ),
    };
    let fault = at.error(message, help).warning();
    faults.push(match version.given {
        true => fault.also(version.place, version.path.clone()),
        false => fault,
    });
}

/// A chart that the bakery's CLI does not bring along is fetched by a node: said where it is that CLI.
fn check_embedded(
    file: &ClusterFile,
    minor: &Minor,
    version: &Spanned<String>,
    parts: [u32; 3],
    faults: &mut Vec<Fault>,
) {
    let provider = file.provider.as_ref().map(|provider| &provider.value);
    let bakerys = provider.and_then(ProviderFile::vm).is_some() && !file.sysexts_given;
    if !bakerys || Some(parts) <= version_parts(minor.cilium) {
        return;
    }
    let message = format!(
        "{} is not known to be among the charts that the cilium CLI {} brings along (up to {}): a node would fetch it from Cilium's \
         chart repository",
        version.value, minor.cilium_cli, minor.cilium
    );
    let help = format!(
        "write {}, or bring the chart along: `chart: cilium-{}.tgz`",
        minor.cilium, version.value
    );
    faults.push(version.error(message, help).warning());
}

/// The CLI makes the cluster's name Cilium's `cluster.name`, unless the values say one.
fn check_cluster_name(file: &ClusterFile, values: &[Setting], faults: &mut Vec<Fault>) {
    let own = values.iter().find_map(|setting| {
        let name = match setting.key.value.as_str() {
            "cluster" => setting.value.get("name"),
            "cluster.name" => Some(&setting.value),
            _ => None,
        };
        name.and_then(Value::as_str).map(|name| (setting, name))
    });
    if let Some((setting, name)) = own {
        let letters = name.chars().count();
        if letters > MAX_CLUSTER_NAME {
            let message = format!(
                "names the cluster with {letters} characters, and Cilium takes {MAX_CLUSTER_NAME} at most"
            );
            faults.push(setting.key.error(message, "choose a shorter name"));
        }
        return;
    }
    let Some(name) = &file.name else { return };
    let letters = name.value.chars().count();
    // Of more than that the rule for every name speaks.
    if (MAX_CLUSTER_NAME + 1..=63).contains(&letters) {
        let message =
            format!("has {letters} characters, and Cilium takes {MAX_CLUSTER_NAME} at most");
        let help = "choose a shorter name, or write `values: {cluster: {name: SHORTER}}` into kubernetes.cni.cilium";
        faults.push(name.error(message, help));
    }
}
