//! "did you mean": the key or word that was probably meant.

use strsim::osa_distance;

use crate::unseen::{has_unseen, plain_text};

/// The candidate nearest to `word`, if it is near enough to be a slip of the finger.
pub(crate) fn closest_match<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // No key is that long, and the work grows with the product of both lengths.
    if word.chars().count() > 40 {
        return None;
    }
    // A third of the letters, so that three-letter words have one slip and nobody is sent from `a` to `cri`.
    let limit = (word.chars().count() / 3).max(1);
    let lower = plain_text(word).trim().to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (osa_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `, did you mean `x`?`, or nothing: neither of a word that looks the same already, whose characters are named instead.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    if has_unseen(word) {
        return String::new();
    }
    closest_match(word, candidates).map_or_else(String::new, |c| format!(", did you mean `{c}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        for (word, right) in [
            ("adress", Some("address")),
            ("nmae", Some("name")),
            ("podCidr", Some("podCIDR")),
            ("role", Some("role")),
            ("x", None),
            ("memory", None),
        ] {
            assert_eq!(
                closest_match(word, ["name", "role", "address", "podCIDR", "cri"]),
                right,
                "{word}"
            );
        }
    }
}
