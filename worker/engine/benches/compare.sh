#!/bin/sh
# Compares this engine, stock engineioxide (both under socketioxide), Node and the floor, in interleaved runs.
#
# Usage: worker/engine/benches/compare.sh [RUNS] [DIRECTORY]     (default: 5 runs in a temporary directory)
#
# The server is pinned to the first core, the load generator to the second. Compare values of one run only.
set -eu
runs=${1:-5}
engine=$(cd "$(dirname "$0")/.." && pwd)
work=${2:-$(mktemp -d)}
[ -n "${2:-}" ] || trap 'rm -rf "$work"' EXIT
ulimit -n "$(ulimit -Hn)"

# Copies outside of the repository, so that its patch does not reach the stock one.
for kind in ours stock; do
    mkdir -p "$work/$kind"
    rm -rf "$work/$kind/src"
    cp -R "$engine/benches/compare/." "$work/$kind/"
done
printf '[patch.crates-io]\nengineioxide = { path = "%s" }\n' "$engine" >>"$work/ours/Cargo.toml"
cargo build --quiet --release --manifest-path "$work/ours/Cargo.toml" --target-dir "$work/target-ours" --features ours
cargo build --quiet --release --manifest-path "$work/stock/Cargo.toml" --target-dir "$work/target-stock"
ours=$work/target-ours/release/compare
stock=$work/target-stock/release/compare
PACKAGES=$engine/../../tests/node/package.json
export PACKAGES

load() { # NAME JOB CLIENTS RATE SECONDS BYTES STALLED SERVER...
    name=$1
    shift
    job=$1 clients=$2 rate=$3 seconds=$4 bytes=$5 stalled=$6
    shift 6
    printf '%-22s ' "$name"
    taskset -c 1 "$ours" load "$job" "$clients" "$rate" "$seconds" "$bytes" "$stalled" -- taskset -c 0 "$@"
}
all() { # NAME JOB CLIENTS RATE SECONDS BYTES STALLED
    load "$1 floor" "$2" "$3" "$4" "$5" "$6" "$7" "$ours" server floor
    load "$1 ours" "$2" "$3" "$4" "$5" "$6" "$7" "$ours" server engine
    load "$1 stock" "$2" "$3" "$4" "$5" "$6" "$7" "$stock" server engine
}

for _ in $(seq "$runs"); do
    all small fanout 1000 100 5 64 0
    load "small node" fanout 1000 100 5 64 0 node "$engine/benches/compare/node.mjs"
    load "threads ours" fanout 1000 100 5 64 0 "$ours" server engine-mt
    load "threads stock" fanout 1000 100 5 64 0 "$stock" server engine-mt
    all 4KB fanout 1000 25 5 4096 0
    for _ in 1 2 3; do # what neighbours disturb most
        load "300/s ours" latency 1000 300 5 64 0 "$ours" server engine
        load "300/s stock" latency 1000 300 5 64 0 "$stock" server engine
        load "idle ours" idle 5000 0 2 0 0 "$ours" server engine
        load "idle stock" idle 5000 0 2 0 0 "$stock" server engine
    done
    WINDOW_MS=10 load "300/s ours 10ms" latency 1000 300 5 64 0 "$ours" server engine
done
