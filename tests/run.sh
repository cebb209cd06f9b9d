#!/usr/bin/env bash
# Installs what the checks need (Debian packages, npm packages from the lock file) and runs every check:
# formatting, lints, documentation, unit tests, end-to-end tests. Long campaigns are in tests/soak.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n==> %s\n' "$*"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

say 'Debian packages'
missing=()
for package in chromium curl haproxy iproute2 nginx openssl procps python3 redis-server redis-tools strace util-linux; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
for program in cargo:cargo node:nodejs npm:npm; do
  command -v "${program%%:*}" >/dev/null || missing+=("${program##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

say 'npm packages'
# npm writes .package-lock.json when an install is complete.
[ tests/node/node_modules/.package-lock.json -nt tests/node/package-lock.json ] ||
  npm ci --prefix tests/node --no-audit --no-fund

say 'Formatting'
cargo fmt --all --check

say 'Lints'
cargo clippy --workspace --all-targets --locked -- -D warnings

say 'Documentation'
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked

say 'Unit tests'
cargo test --workspace --exclude oxherd --locked
cargo test -p oxherd --lib --bins --examples --locked
cargo test -p oxherd --doc --locked

say 'The tests of engineioxide and socketioxide on our engine'
worker/engine/tests/upstream.sh

say 'The adapter over the bus in place of Redis'
cargo build -p oxherd-bus --examples --locked
ADAPTER_TEST_BUS="${CARGO_TARGET_DIR:-$PWD/target}/debug/examples/bus" \
  cargo test -p oxherd-adapter --locked --test broadcasts --test questions --test requests --test robustness

say 'End-to-end tests'
# One at a time: they start whole boxes, and some watch time or load.
cargo build -p oxherd --bins --examples --locked
cargo test -p oxherd --test "*" --locked -- --test-threads=1
