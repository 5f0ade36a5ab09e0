//! No import circle between the modules of any one folder, top level and below: what one stands on never leans back on it. (A
//! module and what is in its own folder belong together.)
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which module of a folder imports which others of it.
type Imports = BTreeMap<String, BTreeSet<String>>;
/// A module's names from the crate's root on; of an import, what it names there.
type Place = Vec<String>;

#[test]
fn no_folder_has_an_import_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = vec![root.join("agent/src"), root.join("host-tool/src")];
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        sources.push(entry.unwrap().path().join("src"));
    }
    let mut circles = Vec::new();
    for source in sources {
        for (folder, imports) in imports_of(&source) {
            let circle = find_circle(&imports).map(|circle| circle.join(" -> "));
            let place = source.join(folder.join("/"));
            circles.extend(circle.map(|circle| format!("{}: {circle}", place.display())));
        }
    }
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
    let text = "use crate::one::Thing;\nuse crate::{two, three::{self, More}, Root, four::five as six};\n\
                fn f() { crate::seven::call() }\nuse super::super::{eight, nine::Thing};\n// crate::not\n\
                #[cfg(test)]\nmod tests { use crate::not; }\n";
    let own = ["a", "b", "c"].map(str::to_owned);
    let paths: BTreeSet<String> = imported_places(text, &own)
        .into_iter()
        .map(|path| path.join("::"))
        .collect();
    let wanted = [
        "Root",
        "a::eight",
        "a::nine::Thing",
        "four::five",
        "one::Thing",
        "seven::call",
        "three::More",
        "three::self",
        "two",
    ];
    assert_eq!(paths, wanted.map(str::to_owned).into());
}

/// Of every folder, which of its modules import which others of it.
fn imports_of(source: &Path) -> BTreeMap<Place, Imports> {
    let mut files = Vec::new();
    collect_files(source, &mut files);
    let files: BTreeMap<Place, PathBuf> = files
        .into_iter()
        .map(|file| (place_of(file.strip_prefix(source).unwrap()), file))
        .collect();
    let mut folders: BTreeMap<Place, Imports> = BTreeMap::new();
    for (own, file) in &files {
        if ["main", "lib"].contains(&own.join("::").as_str()) {
            continue;
        }
        for place in imported_places(&fs::read_to_string(file).unwrap(), own) {
            let known = (1..=place.len()).rev().map(|length| &place[..length]);
            // Folders have a file of their name, too.
            let Some(module) = known.into_iter().find(|place| files.contains_key(*place)) else {
                continue;
            };
            let shared = own.iter().zip(module).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (own.get(shared), module.get(shared)) {
                let folder = folders.entry(own[..shared].to_vec()).or_default();
                folder.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    folders
}

/// The module that a file is.
fn place_of(file: &Path) -> Place {
    let mut names: Place = file
        .with_extension("")
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    names
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

/// What is named behind `crate::` and `super::`, also in braces, from the crate's root on.
fn imported_places(text: &str, own: &[String]) -> Vec<Place> {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = product.lines().map(|l| l.split("//").next().unwrap());
    let code = lines.collect::<Vec<_>>().join("\n");
    let starts = code.match_indices("crate::");
    let mut places: Vec<Place> = starts
        .flat_map(|(at, prefix)| expand_use_group(&code[at + prefix.len()..]))
        .collect();
    for (at, _) in code.match_indices("super::") {
        // Of `super::super::` the last one is read, and those before it are counted.
        let (before, rest) = (&code[..at], &code[at + "super::".len()..]);
        if rest.starts_with("super::") {
            continue;
        }
        let more = before.len() - before.trim_end_matches("super::").len();
        let up = 1 + more / "super::".len();
        let base = &own[..own.len().saturating_sub(up)];
        places.extend(
            expand_use_group(rest)
                .into_iter()
                .map(|path| [base, &path].concat()),
        );
    }
    places
}

/// `a::{b, c::d}...` as `a::b` and `a::c::d`.
fn expand_use_group(text: &str) -> Vec<Place> {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        return items_of(group)
            .iter()
            .flat_map(|item| expand_use_group(item))
            .collect();
    }
    let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let name: String = text.chars().take_while(is_name).collect();
    if name.is_empty() {
        return Vec::new();
    }
    match text[name.len()..].strip_prefix("::").map(expand_use_group) {
        Some(rest) if !rest.is_empty() => {
            let whole = |path: Place| [vec![name.clone()], path].concat();
            rest.into_iter().map(whole).collect()
        }
        _ => vec![vec![name]],
    }
}

/// The items of `a, b::{c, d}, e}...`.
fn items_of(group: &str) -> Vec<String> {
    let (mut items, mut depth, mut item) = (Vec::new(), 0, String::new());
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => items.push(std::mem::take(&mut item)),
            _ => item.push(c),
        }
        depth += i32::from(c == '{') - i32::from(c == '}');
    }
    items.push(item);
    items
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
