//! Building and installing what is compared. Nothing is fetched that a lock file does not name.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ServerError;

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The root of this repository.
    pub repository: PathBuf,
    /// The release binary of oxherd.
    pub oxherd: PathBuf,
    /// Another build of it.
    pub baseline: PathBuf,
    /// socketioxide as it comes.
    pub stock: PathBuf,
    /// The floor.
    pub floor: PathBuf,
    /// Two floors and what is between them.
    pub relay: PathBuf,
    /// The scripts of the Node servers, with their packages.
    pub node: PathBuf,
}

impl Programs {
    /// Builds and installs all of them but `baseline`.
    pub fn prepare(baseline: PathBuf) -> Result<Self, ServerError> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        // The runner is in <target>/release; what a test runs is deeper.
        let this = std::env::current_exe().map_err(ServerError::Place)?;
        let release = this.parent().unwrap_or(Path::new("."));
        let target = release.parent().unwrap_or(release).to_owned();
        let release = target.join("release");
        let stock_target = target.join("stock");
        let node = repository.join("bench/node");

        let cargo = || {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
            cargo.current_dir(&repository).args([
                "build",
                "--quiet",
                "--release",
                "--locked",
                "--target-dir",
            ]);
            cargo
        };
        // Each by itself: together they would get each other's features, which no user's build has.
        run(cargo().arg(&target).args(["-p", "oxherd", "--bin", "oxherd"]))?;
        run(cargo().arg(&target).args(["-p", "bench", "--bin", "floor", "--bin", "relay"]))?;
        run(cargo().arg(&stock_target).args(["--manifest-path", "bench/peers/stock/Cargo.toml"]))?;
        // npm writes it when an installation is complete.
        let installed = node.join("node_modules/.package-lock.json");
        if !is_newer(&installed, &node.join("package-lock.json")) {
            run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&node))?;
        }
        Ok(Programs {
            baseline,
            oxherd: release.join("oxherd"),
            floor: release.join("floor"),
            relay: release.join("relay"),
            stock: stock_target.join("release/stock"),
            node,
            repository,
        })
    }
}

fn run(command: &mut Command) -> Result<(), ServerError> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(ServerError::Build(format!("{command:?}"))),
    }
}

fn is_newer(path: &Path, than: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    modified(path).is_some_and(|time| Some(time) >= modified(than))
}
