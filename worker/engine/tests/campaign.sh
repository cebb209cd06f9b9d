#!/bin/sh
# Two campaigns that fail if the engine does not keep its word, with the server of benches/compare:
#
# * 100 of 1,000 clients stop reading while 1 MB/s flows to each: memory grows by no more than their budgets and 16 MB,
#   exactly they are closed and counted, the others get every message once;
# * 20,000 idle sessions (two servers, as two workers hold them) answer three rounds of pings, none is lost.
#
# Usage: worker/engine/tests/campaign.sh [DIRECTORY]     (default: a temporary one, removed at the end)
set -eu
engine=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$(mktemp -d)}
[ -n "${1:-}" ] || trap 'rm -rf "$work"' EXIT
ulimit -n "$(ulimit -Hn)"

mkdir -p "$work/campaign"
rm -rf "$work/campaign/src"
cp -R "$engine/benches/compare/." "$work/campaign/"
printf '[patch.crates-io]\nengineioxide = { path = "%s" }\n' "$engine" >>"$work/campaign/Cargo.toml"
cargo build --quiet --release --manifest-path "$work/campaign/Cargo.toml" --target-dir "$work/target" --features ours
compare=$work/target/release/compare

printf 'stalled  '
BUDGET=1048576 "$compare" check fanout 1000 16 10 65536 100 -- "$compare" server engine

idle() {
    PING_MS=5000 "$compare" check idle 10000 0 17 0 0 -- "$compare" server engine
}
idle >"$work/idle.1" &
idle >"$work/idle.2" || failed=2
wait $! || failed=1
sed 's/^/idle     /' "$work/idle.1" "$work/idle.2"
[ -z "${failed:-}" ] || exit 1
