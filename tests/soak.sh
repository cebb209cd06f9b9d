#!/usr/bin/env bash
# What takes too long for tests/run.sh: Autobahn's suite against the engine and the engine's own campaigns, once; then
# the long versions of the campaigns, which tests/run.sh runs for seconds only: SOAK_SECONDS (600) each, optimized code,
# all of it SOAK_ROUNDS (3) times. Run it before a release, on a machine that has nothing else to do.
set -euo pipefail
cd "$(dirname "$0")/.."
export SOAK_SECONDS=${SOAK_SECONDS:-600}
rounds=${SOAK_ROUNDS:-3}

for script in autobahn campaign; do
  printf '\n==> The engine: %s\n' "$script"
  worker/engine/tests/$script.sh
done

cargo build --release -p oxherd --bins --examples --locked
for round in $(seq "$rounds"); do
  printf '\n==> Round %s of %s, %s s a campaign\n' "$round" "$rounds" "$SOAK_SECONDS"
  for campaign in crash hang orphans lifecycle listeners inheritance; do
    cargo test --release -p oxherd --test "$campaign" --locked -- --test-threads=1 --nocapture
  done
done
