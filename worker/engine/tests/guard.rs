//! A build without the patch stops and says which lines are missing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Command};

/// A crate with the guard as its build script, outside of the repository.
fn check(patch: &str) -> (bool, String) {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = if patch.is_empty() { "unpatched" } else { "patched" };
    let dir = std::env::temp_dir().join(format!("engine-guard-{}-{name}", std::process::id()));
    fs::create_dir_all(dir.join("src")).unwrap();
    fs::write(dir.join("src/lib.rs"), "").unwrap();
    fs::copy(engine.join("guard.rs"), dir.join("guard.rs")).unwrap();
    let manifest = format!(
        "[package]\nname = \"user\"\nedition = \"2024\"\nbuild = \"guard.rs\"\n\
         [dependencies]\nengineioxide = \"0.17.9\"\n[workspace]\n{patch}"
    );
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["check", "--quiet"])
        .current_dir(&dir)
        .env("CARGO_TARGET_DIR", dir.join("target"))
        .output()
        .unwrap();
    fs::remove_dir_all(&dir).unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_build_without_the_patch_says_which_lines_to_add_and_one_with_it_passes() {
    let (passed, said) = check("");
    assert!(!passed);
    for line in ["Add these two lines to the root Cargo.toml", "[patch.crates-io]", "engineioxide = { git"] {
        assert!(said.contains(line), "{said}");
    }
    let path = env!("CARGO_MANIFEST_DIR");
    let (passed, said) = check(&format!("[patch.crates-io]\nengineioxide = {{ path = \"{path}\" }}\n"));
    assert!(passed, "{said}");
}
