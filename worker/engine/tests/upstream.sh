#!/bin/sh
# Runs the integration tests of engineioxide and socketioxide, as their crates ship them, on this engine.
#
# Usage: worker/engine/tests/upstream.sh [DIRECTORY]     (default: a temporary one, removed at the end)
#
# Their sources come from cargo's registry and are copied to a directory outside of this repository; nothing of theirs
# is kept here. Their tests are told apart from their library: engineioxide's run against this crate, socketioxide's
# library is theirs and only the engine below it is ours.
set -eu

engine=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$engine/../.." && pwd)
work=${1:-$(mktemp -d)}
[ -n "${1:-}" ] || trap 'rm -rf "$work"' EXIT
engineioxide=0.17.9
socketioxide=0.18.9

# Cargo downloads what it does not have: the stock engine is a dependency of nothing in the workspace.
mkdir -p "$work/fetch/src"
: >"$work/fetch/src/lib.rs"
cat >"$work/fetch/Cargo.toml" <<TOML
[package]
name = "fetch"
edition = "2024"
[dependencies]
engineioxide = "=$engineioxide"
socketioxide = "=$socketioxide"
[workspace]
TOML
source_of() {
    cargo metadata --format-version 1 --manifest-path "$work/fetch/Cargo.toml" |
        python3 -c 'import json, os, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == sys.argv[1]:
        print(os.path.dirname(package["manifest_path"]))' "$1"
}

# Benches need a crate of their own that the tests do not.
without_benches() {
    python3 - "$1" <<'PY'
import re, sys
text = open(sys.argv[1]).read()
text = re.sub(r'\[\[bench\]\]\n(?:[^\[]|\[(?!\[|[a-z]))*?(?=\n\[)', '', text)
text = re.sub(r'\[dev-dependencies\.criterion\]\n[^\[]*', '', text)
open(sys.argv[1], "w").write(text)
PY
}

# engineioxide's tests, with this crate in the place of their library.
rm -rf "$work/engineioxide" "$work/socketioxide"
cp -R "$(source_of engineioxide)" "$work/engineioxide"
mkdir "$work/engineioxide-tests"  2>/dev/null || true
rm -rf "$work/engineioxide-tests"
mkdir -p "$work/engineioxide-tests/src"
: >"$work/engineioxide-tests/src/lib.rs"
cp -R "$work/engineioxide/tests" "$work/engineioxide-tests/tests"
cat >"$work/engineioxide-tests/Cargo.toml" <<TOML
[package]
name = "engineioxide-tests"
edition = "2024"
[dev-dependencies]
bytes = "1"
engineioxide = { path = "$engine", features = ["__test_harness", "tracing"] }
futures-util = "0.3"
http = "1"
http-body-util = "0.1"
pin-project-lite = "0.2"
serde = { version = "1", features = ["derive"] }
serde_json = "1"
tokio = { version = "1", features = ["macros", "rt", "time", "parking_lot"] }
tokio-stream = "0.1"
tokio-tungstenite = "0.30"
tokio-util = { version = "0.7", default-features = false, features = ["io"] }
tower-service = "0.3"
tracing-subscriber = { version = "0.3", features = ["env-filter"] }
[workspace]
TOML

# socketioxide's tests, unmodified, with the patch below their library.
cp -R "$(source_of socketioxide)" "$work/socketioxide"
chmod -R u+w "$work"
rm -f "$work/socketioxide/Cargo.lock"
without_benches "$work/socketioxide/Cargo.toml"
printf '\n[workspace]\n[patch.crates-io]\nengineioxide = { path = "%s" }\n' "$engine" >>"$work/socketioxide/Cargo.toml"

target=${CARGO_TARGET_DIR:-$root/target}
CARGO_TARGET_DIR=$target/upstream cargo test --manifest-path "$work/engineioxide-tests/Cargo.toml" --tests
CARGO_TARGET_DIR=$target/upstream cargo test --manifest-path "$work/socketioxide/Cargo.toml" --tests \
    --features __test_harness,extensions,state,tracing
