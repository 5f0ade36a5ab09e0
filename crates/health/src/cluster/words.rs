//! Lists and reasons in words.

/// `node1`, `node1 and node2`, `node1, node2 and node3`; of more than five the first four and how many more.
pub fn name_list<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match &names[..] {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] if names.len() <= 5 => format!("{} and {last}", first.join(", ")),
        [a, b, c, d, rest @ ..] => format!("{a}, {b}, {c}, {d} and {} more", rest.len()),
        [..] => names.join(", "),
    }
}

/// `what: why`, or `what` alone if nobody said why.
pub fn with_reason(what: &str, why: &str) -> String {
    match why {
        "" => what.to_owned(),
        why => format!("{what}: {why}"),
    }
}
