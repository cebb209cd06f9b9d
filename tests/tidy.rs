//! The repository checks itself: what ARCHITECTURE.md states about its files and crates.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 400;

/// Every crate by its folder, and the folders of the crates of ours that it may import.
const MAY_IMPORT: [(&str, &[&str]); 8] = [
    ("", &["supervisor", "supervisor/contract", "worker", "worker/bus"]),
    ("bench", &[]),
    ("supervisor", &["supervisor/contract"]),
    ("supervisor/contract", &[]),
    ("worker", &["supervisor/contract", "worker/engine", "worker/adapter"]),
    ("worker/engine", &[]),
    ("worker/adapter", &[]),
    ("worker/bus", &["supervisor/contract"]),
];

/// What the supervisor, and what it shares with its children, must not be made of.
const NO_SUPERVISOR_HAS: [&str; 8] =
    ["axum", "engineioxide", "hyper", "hyper-util", "redis", "socketioxide", "tokio", "tower"];

struct File {
    /// From the repository's root.
    path: PathBuf,
    text: String,
}

impl File {
    /// Its lines of code, numbered from 1: without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().map(|line| line.split("//").next().unwrap_or_default());
        (1..).zip(lines)
    }
}

#[test]
fn every_source_file_opens_with_what_it_is_for() {
    for file in sources() {
        assert!(file.text.starts_with("//! "), "{} does not begin with `//!`", file.path.display());
    }
}

#[test]
fn no_source_file_is_two_things() {
    for file in files(&["rs", "js", "mjs", "sh"]) {
        let lines = file.text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", file.path.display());
    }
}

#[test]
fn crates_import_only_what_is_below_them() {
    let manifests = manifests();
    let folder_of: BTreeMap<String, &str> =
        manifests.iter().map(|(folder, manifest)| (package(manifest), folder.as_str())).collect();
    for (folder, manifest) in &manifests {
        let allowed = MAY_IMPORT.iter().find(|(may, _)| may == folder);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("say in MAY_IMPORT what {folder} may import"));
        for dependency in dependencies(manifest) {
            if let Some(imported) = folder_of.get(&dependency) {
                // engineioxide stands for `worker/engine` by a patch, which is socketioxide's doing.
                assert!(allowed.contains(imported), "{folder} imports {imported}");
            }
            let supervises = folder.starts_with("supervisor");
            assert!(
                !supervises || !NO_SUPERVISOR_HAS.contains(&dependency.as_str()),
                "{folder} has {dependency}"
            );
        }
    }
}

#[test]
fn only_the_configuration_knows_toml() {
    for (folder, manifest) in manifests() {
        assert!(folder.is_empty() || !dependencies(&manifest).contains("toml"), "{folder} has toml");
    }
    for file in sources().filter(|file| !file.path.starts_with("src/config")) {
        for (number, line) in file.code() {
            assert!(!line.contains(concat!("toml", "::")), "{}:{number}", file.path.display());
        }
    }
}

#[test]
fn a_crate_has_at_most_one_file_with_unsafe_code_and_else_forbids_it() {
    let kinds = ["{", "fn", "impl", "trait", "extern"].map(|kind| format!("{} {kind}", "unsafe"));
    for (folder, _) in manifests() {
        let src = Path::new(&folder).join("src");
        let (mut has, mut forbids) = (BTreeSet::new(), false);
        for file in sources().filter(|file| file.path.starts_with(&src)) {
            if file.code().any(|(_, line)| kinds.iter().any(|kind| line.contains(kind.as_str()))) {
                has.insert(file.path.clone());
            }
            let root = file.path == src.join("lib.rs");
            forbids |= root && file.text.contains("#![forbid(unsafe_code)]");
        }
        let good = if has.is_empty() { forbids } else { has.iter().eq([&src.join("sys.rs")]) };
        assert!(good, "{folder}: unsafe in {has:?}, forbidden: {forbids}");
    }
}

#[test]
fn nothing_names_the_machine_that_it_was_written_on() {
    let mut places = ["home", "root", "Users"].map(|place| format!("/{place}/")).to_vec();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if here.components().count() > 2 {
        places.push(here.display().to_string()); // else it is too short to tell
    }
    for file in files(&["rs", "js", "mjs", "sh", "toml", "md", "html", "css", "service", "conf", "json"]) {
        for (number, line) in (1..).zip(file.text.lines()) {
            let found = places.iter().find(|place| line.contains(place.as_str()));
            assert!(found.is_none(), "{}:{number}: {line}", file.path.display());
        }
    }
}

/// The name of the package that a manifest describes.
fn package(manifest: &str) -> String {
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = "));
    name.expect("a name").trim_matches('"').to_owned()
}

/// The crates that code may use: normal and build dependencies.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section.ends_with("dependencies")
                && !section.ends_with("dev-dependencies")
                && !section.starts_with("workspace");
            found.extend(section.split_once("dependencies.").map(|(_, name)| name.to_owned()));
        } else if inside && !line.starts_with('#') {
            found.extend(
                line.split(['.', ' ', '=']).next().filter(|name| !name.is_empty()).map(str::to_owned),
            );
        }
    }
    found
}

/// The manifest of each crate, by its folder.
/// Of the workspace's crates. A workspace of its own below it is what is compared with, such as the stock engine.
fn manifests() -> BTreeMap<String, String> {
    let all = files(&["toml"]).filter(|file| file.path.file_name().is_some_and(|name| name == "Cargo.toml"));
    let all = all.filter(|file| file.path == Path::new("Cargo.toml") || !file.text.contains("[workspace]"));
    let by_folder = all.map(|file| (file.path.parent().unwrap().to_str().unwrap().to_owned(), file.text));
    by_folder.collect()
}

fn sources() -> impl Iterator<Item = File> {
    files(&["rs"])
}

/// All files of the repository with one of these extensions, but for what is made or installed.
fn files(extensions: &'static [&str]) -> impl Iterator<Item = File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            let hidden = name.as_encoded_bytes().starts_with(b".") && name != ".ci";
            if entry.file_type().unwrap().is_dir() {
                folders.extend((!hidden && name != "target" && name != "node_modules").then_some(path));
            } else if path
                .extension()
                .is_some_and(|extension| extensions.iter().any(|known| extension == *known))
            {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty());
    found.into_iter().map(move |path| File {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(root).unwrap().to_owned(),
    })
}
