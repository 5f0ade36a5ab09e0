use super::*;
use crate::sys::telling::bare_words;

/// Words of the real programs, each with what was wrong: version, program, what it refuses, its line. `refusals.sh` beside it
/// captures them.
const CAPTURED: &str = include_str!("../../../../tests/captured/refusals.tsv");

#[test]
fn what_real_programs_refuse_is_found_in_their_words() {
    for line in CAPTURED.lines() {
        let columns: Vec<&str> = line.splitn(4, '\t').collect();
        let [version, part, expected, said] = columns[..] else {
            panic!("{line}")
        };
        let expected = expected.split_once(' ').map(|(kind, name)| match kind {
            "field" => Origin::Field {
                path: name.to_owned(),
            },
            _ => Origin::Argument {
                name: name.to_owned(),
            },
        });
        let origin = refused_origin(part, &bare_words(said));
        assert_eq!(origin, expected, "{version}: {said}");
    }
}

#[test]
fn words_that_end_early_have_no_origin() {
    for word in [
        "",
        "unknown flag: --",
        "invalid value \"x\" for flag -",
        "x into Go struct field ",
        "x into Go struct field Y",
        "strict decoding error: unknown field \"",
        ": Invalid value: ",
        "the value of a b: Invalid value: 3",
    ] {
        assert_eq!(refused_origin("kubeadm", word), None, "{word}");
    }
    let first = refused_origin(
        "kubeadm",
        "[apiServer.certSANs[0]: Invalid value: 1, x: Invalid value: 2]",
    );
    let path = "apiServer.certSANs[0]".to_owned();
    assert_eq!(first, Some(Origin::Field { path }));
}
