//! The table of rooms in `ARCHITECTURE.md` is what the code does: each room has a row, uses just the
//! rooms that its row names, and no room uses itself by way of others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// What a row says in place of a list: the room is below no other.
const ANYTHING: &str = "all";
/// Paths of the crate root that are other rooms, by the room's name.
const EXPORTED: [(&str, &[&str]); 2] = [
    ("formats", &["archive", "image", "patch", "python"]),
    ("support", &["called", "environment", "regular", "report", "retry", "signals"]),
];

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rooms of the table with code that can use others, and what their rows name.
fn rows() -> BTreeMap<String, BTreeSet<String>> {
    let text = read(&root().join("ARCHITECTURE.md"));
    let crates = crates();
    let table = text.lines().skip_while(|line| !line.starts_with("| room |")).skip(2);
    let mut rows = BTreeMap::new();
    for line in table.take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [place, _, uses] = cells[..] else { panic!("a row of three cells: {line}") };
        let place = place.trim_matches('`').trim_end_matches('/');
        if place.starts_with("src/") || crates.contains_key(place) {
            let uses = uses.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect();
            let name = place.trim_start_matches("src/").trim_end_matches(".rs");
            assert!(rows.insert(name.to_owned(), uses).is_none(), "`{name}` has two rows");
        }
    }
    rows
}

/// Our crates by name, with the folder of each.
fn crates() -> BTreeMap<String, PathBuf> {
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    // Tests and examples may use everything.
    let members = members.iter().map(|member| member.as_str().unwrap()).filter(|member| !member.contains('/'));
    // The loader is a workspace of its own.
    let all = members.filter(|member| *member != "testing").chain(["sandbox"]);
    all.map(|member| (member.to_owned(), root().join(member))).collect()
}

/// What a crate's manifest depends on, of our crates.
fn of_manifest(folder: &Path, crates: &BTreeMap<String, PathBuf>) -> BTreeSet<String> {
    let manifest: toml::Table = read(&folder.join("Cargo.toml")).parse().unwrap();
    let tables = ["dependencies", "build-dependencies"].map(|name| manifest.get(name).and_then(toml::Value::as_table));
    tables
        .into_iter()
        .flatten()
        .flat_map(toml::Table::keys)
        .filter(|name| crates.contains_key(*name))
        .cloned()
        .collect()
}

/// The modules of the tool's own crate, each a file or a folder.
fn modules() -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().path());
    let named = entries.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path));
    named.filter(|(name, _)| !["lib", "main"].contains(&&**name)).collect()
}

/// The room that a path begins in, by its first name after `crate` or by itself.
fn room_of(name: &str, crates: &BTreeMap<String, PathBuf>, modules: &BTreeMap<String, PathBuf>) -> Option<String> {
    let exported = EXPORTED.iter().find(|(_, names)| names.contains(&name)).map(|(room, _)| (*room).to_owned());
    let name = name.replace('_', "-");
    exported.or_else(|| (crates.contains_key(&name) || modules.contains_key(&name)).then_some(name))
}

/// The names that follow `crate::` in a text, those in braces included, and our crates that paths
/// begin with.
fn first_names(text: &str, crates: &BTreeMap<String, PathBuf>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let word = |text: &str| text.chars().take_while(|letter| is_word(*letter)).collect::<String>();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    for (at, _) in code.match_indices("crate::") {
        // Not the end of another word, such as `$crate::`, which a macro writes elsewhere.
        if code[..at].ends_with(|letter: char| is_word(letter) || letter == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for letter in list.chars() {
            match letter {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.insert(word(item.trim()));
                    item.clear();
                    continue;
                }
                _ => {}
            }
            item.push(letter);
        }
        found.insert(word(item.trim()));
    }
    for name in crates.keys() {
        let name = name.replace('-', "_");
        let begins = |at: usize| !code[..at].ends_with(|letter: char| is_word(letter) || letter == ':');
        if code.match_indices(&format!("{name}::")).any(|(at, _)| begins(at)) {
            found.insert(name);
        }
    }
    found
}

/// What the code of a module uses, of all rooms but itself.
fn of_module(
    name: &str,
    path: &Path,
    crates: &BTreeMap<String, PathBuf>,
    modules: &BTreeMap<String, PathBuf>,
) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for entry in WalkDir::new(path).into_iter().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|extension| extension == "rs") {
            let names = first_names(&read(entry.path()), crates);
            used.extend(names.iter().filter_map(|name| room_of(name, crates, modules)));
        }
    }
    used.remove(name);
    used
}

/// What each room uses, by the code.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let (crates, modules) = (crates(), modules());
    let of_crates = crates.iter().map(|(name, folder)| (name.clone(), of_manifest(folder, &crates)));
    let of_modules = modules.iter().map(|(name, path)| (name.clone(), of_module(name, path, &crates, &modules)));
    of_crates.chain(of_modules).collect()
}

#[test]
fn rooms_use_what_the_table_says() {
    let rows = rows();
    let edges = edges();
    let mut wrong = Vec::new();
    for (room, uses) in &edges {
        let list = uses.iter().cloned().collect::<Vec<_>>().join(", ");
        match rows.get(room) {
            None => wrong.push(format!("`{room}` has no row; it uses: {list}")),
            Some(row) if row.contains(ANYTHING) || row == uses => {}
            Some(_) => wrong.push(format!("the row of `{room}` says something else than the code: {list}")),
        }
    }
    wrong.extend(rows.keys().filter(|room| !edges.contains_key(*room)).map(|room| format!("`{room}` is no room")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_room_uses_itself_by_way_of_others() {
    let mut edges = edges();
    while let Some(room) = edges.iter().find(|(_, uses)| uses.is_empty()).map(|(room, _)| room.clone()) {
        edges.remove(&room);
        for uses in edges.values_mut() {
            uses.remove(&room);
        }
    }
    assert!(edges.is_empty(), "rooms in a circle, or above one: {edges:?}");
}

#[test]
fn areas_of_the_store_are_had_from_the_store() {
    for place in ["src", "remote/src", "docker/src"] {
        for entry in WalkDir::new(root().join(place)).into_iter().map(Result::unwrap) {
            if entry.file_type().is_file() {
                let joins = read(entry.path()).contains("store.root().join");
                assert!(!joins, "`{}` joins a path to the store's root: use `Store::area`", entry.path().display());
            }
        }
    }
}

#[test]
fn names_are_found_wherever_a_path_begins() {
    let crates = BTreeMap::from(["build-graph", "store"].map(|name| (name.to_owned(), PathBuf::new())));
    let text = "use crate::store::{Area, Store};\nuse crate::{archive, image::{A, B}, patch};\n// crate::lock\n\
                let a = crate::called::called(); build_graph::key::of(); $crate::print::x(); other::store::y();";
    let names = ["archive", "build_graph", "called", "image", "patch", "store"];
    assert_eq!(first_names(text, &crates), names.map(str::to_owned).into());
    assert_eq!(first_names("let x = other::store::y(); my_store::z();", &crates), BTreeSet::new());
}
