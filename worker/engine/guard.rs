//! The build script of a crate that needs this engine below socketioxide: `build = "engine/guard.rs"`.
//!
//! `[patch.crates-io]` counts only in the root manifest of a workspace, and an absent patch is no error to cargo:
//! the stock engine would be linked in silence. Our engine has a `links` key, so cargo hands its build script's
//! metadata to this one; without it the build stops here and says which lines are missing.

const MISSING: [&str; 3] = [
    "oxherd's engine is not below socketioxide. Add these two lines to the root Cargo.toml:",
    "    [patch.crates-io]",
    "    engineioxide = { git = \"https://github.com/oxherd/oxherd\" }",
];

fn main() {
    println!("cargo::rerun-if-env-changed=DEP_OXHERD_ENGINE_PRESENT");
    if std::env::var_os("DEP_OXHERD_ENGINE_PRESENT").is_none() {
        for line in MISSING {
            println!("cargo::error={line}");
        }
    }
}
