//! The rooms of src/ and the direction of its imports, read from the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room may import from itself and from those before it; for `remote` see [`may_import`].
const ROOMS: [&str; 8] = ["base", "stats", "nn", "data", "train", "evaluate", "report", "remote"];
/// What `remote` may import: buckets and archives know slices, but not training.
const UNDER_REMOTE: [&str; 3] = ["base", "data", "remote"];
const LONGEST: usize = 350;

fn may_import(from: &str, to: &str) -> bool {
    let rank = |room| ROOMS.iter().position(|known| *known == room);
    match (from, to) {
        ("remote", to) => UNDER_REMOTE.contains(&to),
        (from, "remote") => from == "remote",
        _ => rank(to).is_some() && rank(to) <= rank(from),
    }
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file under `folder`, with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("lists").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            found.extend(sources(&entry));
        } else if entry.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&entry).expect("reads");
            found.push((entry, text));
        }
    }
    found
}

/// `data`, `audit` of `src/data/audit/measure.rs`; `data`, nothing of `src/data.rs`; `None` of the command line's
/// files.
fn place(file: &Path) -> Option<(String, Option<String>)> {
    let path = file.strip_prefix(repository().join("src")).expect("in src/").with_extension("");
    let parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let room = ROOMS.contains(&parts[0].as_str()).then(|| parts[0].clone())?;
    Some((room, parts.get(1).cloned()))
}

/// What `crate::…` names in the code of a file: the first two parts of every path.
fn imports(text: &str) -> Vec<(String, String)> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let path = |at: usize| {
        let mut parts = code[at + "crate::".len()..].split("::");
        let name = |part: Option<&str>| -> String {
            part.unwrap_or_default().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        (name(parts.next()), name(parts.next()))
    };
    code.match_indices("crate::").map(|(at, _)| path(at)).collect()
}

/// A cycle of modules that import each other; `None` if there is none.
fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut left = graph.clone();
    loop {
        let ends: Vec<String> = left
            .iter()
            .filter(|(_, to)| !to.iter().any(|to| left.contains_key(to)))
            .map(|(from, _)| from.clone())
            .collect();
        if ends.is_empty() {
            return (!left.is_empty()).then(|| left.into_keys().collect());
        }
        ends.iter().for_each(|end| _ = left.remove(end));
    }
}

#[test]
fn imports_point_downwards_and_no_modules_form_a_circle() {
    let mut upwards = Vec::new();
    let mut rooms: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (file, text) in sources(&repository().join("src")) {
        let Some((room, module)) = place(&file) else { continue };
        for (to_room, to_module) in imports(&text) {
            if !may_import(&room, &to_room) {
                upwards.push(format!("{}: crate::{to_room}::{to_module}", file.display()));
            }
            let Some(module) = module.as_ref().filter(|module| to_room == room && **module != to_module) else {
                continue;
            };
            rooms.entry(room.clone()).or_default().entry(module.clone()).or_default().insert(to_module);
        }
    }
    assert!(upwards.is_empty(), "imports that point upwards:\n{}", upwards.join("\n"));
    for (room, graph) in rooms {
        assert_eq!(circle(&graph), None, "modules of {room} that import each other");
    }
}

#[test]
fn the_map_names_every_module_and_no_other_and_no_file_is_long() {
    let map = fs::read_to_string(repository().join("docs/architecture.md")).expect("reads");
    let mut modules = BTreeSet::new();
    for (file, text) in sources(&repository().join("src")) {
        let lines = text.lines().count();
        assert!(lines <= LONGEST, "{} has {lines} lines, {LONGEST} are the most", file.display());
        if let Some((room, Some(module))) = place(&file) {
            modules.insert(format!("{room}/{module}"));
        }
    }
    let is_module =
        |name: &&str| ROOMS.iter().any(|room| name.strip_prefix(room).is_some_and(|rest| rest.starts_with('/')));
    let named = map.split('`').skip(1).step_by(2).filter(is_module).map(|name| name.trim_end_matches(".rs").to_owned());
    let named: BTreeSet<String> = named.map(|name| name.split('/').take(2).collect::<Vec<_>>().join("/")).collect();
    assert_eq!(named, modules, "docs/architecture.md and src/ name different modules");
    let root = fs::read_to_string(repository().join("src/lib.rs")).expect("reads");
    for room in ROOMS {
        assert!(root.contains(&format!("mod {room};")) && map.contains(&format!("## {room}")), "{room} is not named");
    }
}

/// Messages name files: see `base/errors`.
#[test]
fn messages_of_errors_are_made_in_one_place() {
    let is_library = |file: &Path| place(file).is_some() && !file.ends_with("base/errors.rs");
    for (file, text) in sources(&repository().join("src")).into_iter().filter(|(file, _)| is_library(file)) {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let others: Vec<&str> = code
            .filter(|line| line.contains("use anyhow::") || line.contains(" anyhow::") || line.contains("Error::msg("))
            .collect();
        assert!(others.is_empty(), "{}: {others:?}: take it from crate::base::errors", file.display());
    }
}

/// The type that a line declares.
fn declared(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().filter(|word| !word.starts_with("pub")).collect();
    let [keyword, name, ..] = words[..] else { return None };
    let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
    (["struct", "enum", "trait"].contains(&keyword) && !name.is_empty()).then_some(name)
}

#[test]
fn no_two_files_and_no_two_types_have_one_name() {
    let (mut files, mut types) = (BTreeMap::new(), BTreeMap::new());
    for (file, text) in sources(&repository().join("src")) {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        if name == "tests.rs" || file.iter().any(|part| part == "tests") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for declared in code.lines().filter_map(declared) {
            types.entry(declared).or_insert_with(Vec::new).push(file.clone());
        }
        files.entry(name).or_insert_with(Vec::new).push(file);
    }
    let twice = |names: BTreeMap<String, Vec<PathBuf>>| names.into_iter().find(|(_, places)| places.len() > 1);
    assert!(files.len() > 100 && types.len() > 100, "{} files, {} types", files.len(), types.len());
    assert_eq!((twice(files), twice(types)), (None, None));
}

/// The test itself can fail.
#[test]
fn an_import_upwards_and_a_circle_are_seen() {
    assert_eq!(imports("use crate::train::config::RunConfig; // crate::no::such"), [("train".into(), "config".into())]);
    assert!(may_import("train", "data") && !may_import("data", "train") && may_import("data", "data"));
    assert!(may_import("remote", "data") && !may_import("remote", "train") && !may_import("report", "remote"));
    let graph = |edges: &[(&str, &str)]| {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        edges.iter().for_each(|(a, b)| _ = graph.entry((*a).into()).or_default().insert((*b).into()));
        graph
    };
    assert_eq!(declared("pub(crate) struct Clusters<'a> {"), Some("Clusters".to_owned()));
    assert_eq!(declared("    let struct_like = 3;"), None);
    assert_eq!(circle(&graph(&[("a", "b"), ("b", "c")])), None);
    assert_eq!(circle(&graph(&[("a", "b"), ("b", "a"), ("c", "a")])).map(|of| of.len()), Some(3));
}
