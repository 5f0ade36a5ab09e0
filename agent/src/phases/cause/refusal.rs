//! What a program refuses, read from its own words: the one place that does so, since none of them says it in any other form.
//! The captured words in `agent/tests/captured/refusals.tsv` are what it knows.

use ha_wire::event::Origin;

/// What stands right before an argument's name: in Go's `flag` (etcd), in pflag (Kubernetes), in etcd's own verdict.
const BEFORE_ARGUMENT: [&str; 8] = [
    "\" for flag -",
    "\" for -",
    "flag provided but not defined: -",
    "\" for \"--",
    "\" for \"-v, --",
    "unknown flag: --",
    "flag needs an argument: -",
    "failed to verify flags: --",
];
/// Before a field's path: the decoder's struct and path, the strict decoder, the kubelet's own verdict.
const BEFORE_FIELD: [&str; 2] = [
    "strict decoding error: unknown field \"",
    "invalid configuration: ",
];
const BEFORE_STRUCT: &str = " into Go struct field ";
/// After a field's path: Kubernetes' verdicts on values.
const AFTER_FIELD: [&str; 4] = [
    ": Invalid value: ",
    ": Unsupported value: ",
    ": Required value",
    ": Forbidden: ",
];
/// In a path beside letters, e.g. `apiServer.certSANs[0]`.
const IN_PATH: &str = "-_.[]";
const FEATURE_GATE: &str = "unrecognized feature gate: ";

/// None: its words are of no form known here.
pub fn refused_origin(part: &str, word: &str) -> Option<Origin> {
    let after = |before: &&str| word.split_once(*before).map(|(_, rest)| rest);
    if let Some(rest) = BEFORE_ARGUMENT.iter().find_map(after) {
        let name = leading_name(rest.trim_start_matches('-'), "-")?;
        return Some(Origin::Argument { name });
    }
    if word.contains(FEATURE_GATE) {
        return Some(match part {
            "kubelet" => Origin::Field {
                path: "featureGates".to_owned(),
            },
            _ => Origin::Argument {
                name: "feature-gates".to_owned(),
            },
        });
    }
    let of_struct = after(&BEFORE_STRUCT).and_then(|rest| Some(rest.split_once('.')?.1));
    if let Some(field) = of_struct {
        let path = without_structs(&leading_name(field, IN_PATH)?);
        return Some(Origin::Field { path });
    }
    let mut before = BEFORE_FIELD.iter();
    let field = before.find_map(after).or_else(|| before_verdict(word))?;
    let path = leading_name(field, IN_PATH)?;
    Some(Origin::Field { path })
}

/// Go's path names the structs that a field's own is embedded in, too: `apiServer.ControlPlaneComponent.extraArgs` (kubeadm
/// from 1.35 on). No field that is read here begins with a capital.
fn without_structs(path: &str) -> String {
    let is_field = |part: &&str| !part.starts_with(|c: char| c.is_ascii_uppercase());
    path.split('.')
        .filter(is_field)
        .collect::<Vec<_>>()
        .join(".")
}

/// Of several verdicts, which stand in brackets, the first.
fn before_verdict(word: &str) -> Option<&str> {
    let mut verdicts = AFTER_FIELD.iter();
    let (path, _) = verdicts.find_map(|verdict| word.split_once(verdict))?;
    let path = path.trim_start_matches('[');
    (leading_name(path, IN_PATH)? == path).then_some(path)
}

/// Letters, digits and these, as far as they go.
fn leading_name(text: &str, further: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || further.contains(c);
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

#[cfg(test)]
mod tests;
