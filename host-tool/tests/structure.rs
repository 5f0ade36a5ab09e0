//! No import circle between the top-level modules of a program or crate: what one stands on never leans back on it.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which top-level module imports which others.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_crate_has_an_import_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = vec![root.join("agent/src"), root.join("host-tool/src")];
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        sources.push(entry.unwrap().path().join("src"));
    }
    let circles: Vec<String> = sources
        .iter()
        .filter_map(|source| {
            let circle = find_circle(&imports_of(source))?;
            Some(format!("{}: {}", source.display(), circle.join(" -> ")))
        })
        .collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found() {
    let imports = |pairs: &[(&str, &str)]| {
        let mut imports = Imports::new();
        for (from, to) in pairs {
            let to = (*to).to_owned();
            imports.entry((*from).to_owned()).or_default().insert(to);
        }
        imports
    };
    let circle = find_circle(&imports(&[("a", "b"), ("b", "c"), ("c", "b"), ("a", "c")]));
    assert_eq!(circle.unwrap(), ["b", "c", "b"]);
    assert_eq!(
        find_circle(&imports(&[("a", "b"), ("b", "c"), ("a", "c")])),
        None
    );
}

#[test]
fn every_way_to_write_an_import_is_read() {
    let text = "use crate::one::Thing;\nuse crate::{two, three::{self, More}, Root, four as five};\n\
                fn f() { crate::six::call() }\nuse super::seven;\n// crate::not\n\
                #[cfg(test)]\nmod tests { use crate::not; }\n";
    let names = |prefixes: &[&str]| {
        imported_names(text, prefixes)
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&["crate::"]),
        ["four", "one", "six", "three", "two"].map(str::to_owned)
    );
    assert!(names(&["crate::", "super::"]).contains(&"seven".to_owned()));
}

fn imports_of(source: &Path) -> Imports {
    let mut files = Vec::new();
    collect_files(source, &mut files);
    let place = |file: &Path| file.strip_prefix(source).unwrap().to_owned();
    let module = |file: &Path| {
        let first = place(file)
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_owned();
        first.to_string_lossy().trim_end_matches(".rs").to_owned()
    };
    let modules: BTreeSet<String> = files.iter().map(|f| module(f)).collect();
    let mut imports = Imports::new();
    for file in &files {
        let (from, place) = (module(file), place(file));
        // What a module's own root calls `super` is the crate.
        let is_root = place.components().count() == 1
            || place.ends_with("mod.rs") && place.components().count() == 2;
        let prefixes: &[&str] = if is_root {
            &["crate::", "super::"]
        } else {
            &["crate::"]
        };
        let names = imported_names(&fs::read_to_string(file).unwrap(), prefixes);
        if !["main", "lib"].contains(&from.as_str()) {
            let others = names.into_iter().filter(|to| modules.contains(to));
            let known = imports.entry(from.clone()).or_default();
            known.extend(others.filter(|to| *to != from));
        }
    }
    imports
}

/// Product files alone: tests may look at everything.
fn collect_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name.ends_with("tests") || name == "testing" {
            continue;
        }
        if path.is_dir() {
            collect_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// The names behind `crate::`, also in braces.
fn imported_names(text: &str, prefixes: &[&str]) -> BTreeSet<String> {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: Vec<&str> = product
        .lines()
        .map(|l| l.split("//").next().unwrap())
        .collect();
    let code = code.join("\n");
    let mut names = BTreeSet::new();
    for prefix in prefixes {
        for (at, _) in code.match_indices(prefix) {
            let rest = &code[at + prefix.len()..];
            match rest.strip_prefix('{') {
                Some(group) => names.extend(group_names(group)),
                None => names.extend(first_name(rest)),
            }
        }
    }
    names
}

/// The first name of each item of `a, b::{c, d}, e}...`.
fn group_names(group: &str) -> Vec<String> {
    let (mut names, mut depth, mut item) = (Vec::new(), 0, String::new());
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => names.extend(first_name(&std::mem::take(&mut item))),
            _ => item.push(c),
        }
        depth += i32::from(c == '{') - i32::from(c == '}');
    }
    names.extend(first_name(&item));
    names
}

/// A module's name; types and functions of the root begin otherwise or are no module, and are sorted out later.
fn first_name(text: &str) -> Option<String> {
    let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let name: String = text.trim_start().chars().take_while(is_name).collect();
    (name.starts_with(|c: char| c.is_ascii_lowercase())).then_some(name)
}

fn find_circle(imports: &Imports) -> Option<Vec<String>> {
    let mut sound = BTreeSet::new();
    imports
        .keys()
        .find_map(|start| circle_through(start, imports, &mut Vec::new(), &mut sound))
}

/// Depth first; `sound` are those from which no circle can be reached.
fn circle_through(
    name: &str,
    imports: &Imports,
    way: &mut Vec<String>,
    sound: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(begin) = way.iter().position(|n| n == name) {
        let mut circle = way.split_off(begin);
        circle.push(name.to_owned());
        return Some(circle);
    }
    if sound.contains(name) {
        return None;
    }
    way.push(name.to_owned());
    for next in imports.get(name).into_iter().flatten() {
        if let Some(circle) = circle_through(next, imports, way, sound) {
            return Some(circle);
        }
    }
    way.pop();
    sound.insert(name.to_owned());
    None
}
