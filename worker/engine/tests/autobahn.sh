#!/usr/bin/env bash
# Installs Autobahn's WebSocket test suite and runs its fuzzing client against an echo on this engine: every case but
# those on compression (12, 13), which the engine does not offer.
#
# Usage: worker/engine/tests/autobahn.sh [DIRECTORY]     (default: a temporary one, removed at the end)
#
# The suite is written in Python 2.7, which Debian had up to version 11: its packages are unpacked into the directory,
# not installed. What the suite needs comes from PyPI, by python3's pip. The reports are in DIRECTORY/reports.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
work=${1:-$(mktemp -d)}
[ -n "${1:-}" ] || trap 'rm -rf "$work"' EXIT
mkdir -p "$work"
work=$(cd "$work" && pwd)

install_python() {
  mkdir -p "$work"/apt/{lists,archives}/partial "$work/python"
  echo 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bullseye main' \
    >"$work/apt/sources.list"
  local options=(-qq -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$work/apt/lists" -o Dir::Cache="$work/apt" -o APT::Sandbox::User=)
  apt-get "${options[@]}" update
  (cd "$work/apt" && apt-get "${options[@]}" download python2.7{,-minimal} libpython2.7-{minimal,stdlib} libffi7 libssl1.1)
  for package in "$work"/apt/*.deb; do dpkg -x "$package" "$work/python"; done
}

install_suite() {
  mkdir -p "$work"/{wheels,sources,site}
  local as_python2=(--python-version 2.7 --implementation cp --abi cp27mu --platform manylinux2010_x86_64
    --platform manylinux1_x86_64 --platform any --only-binary=:all:)
  pip download -q --no-deps -d "$work/wheels" "${as_python2[@]}" \
    attrs==20.3.0 Automat==0.8.0 cffi==1.14.6 constantly==15.1.0 cryptography==3.3.2 enum34==1.1.10 \
    hyperlink==21.0.0 idna==2.10 incremental==16.10.1 ipaddress==1.0.23 jinja2==2.11.3 klein==17.10.0 linecache2==1.0.0 \
    markupsafe==1.1.1 pyasn1==0.4.8 pyasn1_modules==0.2.8 pycparser==2.20 PyHamcrest==1.9.0 pyOpenSSL==19.1.0 \
    service_identity==18.1.0 setuptools==44.0.0 six==1.16.0 traceback2==1.4.0 typing==3.7.4.3 unittest2==1.1.0 \
    Werkzeug==1.0.1 zope.interface==4.6.0
  pip download -q --no-deps -d "$work/sources" --no-binary :all: \
    autobahn==0.10.9 autobahntestsuite==25.10.1 Twisted==19.10.0 txaio==2.1.0
  for wheel in "$work"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$work/site"; done
  for source in "$work"/sources/*.tar.*; do tar -xf "$source" -C "$work/sources"; done
  cp -R "$work"/sources/{autobahn-*/autobahn,autobahntestsuite-*/autobahntestsuite,txaio-*/txaio,Twisted-*/src/twisted} \
    "$work/site"
  touch "$work/site/zope/__init__.py"
}

[ -x "$work/python/usr/bin/python2.7" ] || install_python
[ -d "$work/site/twisted" ] || install_suite

target=${CARGO_TARGET_DIR:-$root/target}
cargo build --release --locked --manifest-path "$root/Cargo.toml" --target-dir "$target" \
  -p engineioxide --example bare_echo --features __test_harness

coproc SERVER { exec "$target/release/examples/bare_echo"; }
server=$SERVER_PID
trap 'kill "$server" 2>/dev/null || true; [ -n "${1:-}" ] || rm -rf "$work"' EXIT
read -r address <&"${SERVER[0]}"
cat >"$work/spec.json" <<JSON
{"outdir": "$work/reports", "cases": ["*"], "exclude-cases": ["12.*", "13.*"], "exclude-agent-cases": {},
 "servers": [{"agent": "oxherd", "url": "ws://$address/engine.io/?EIO=4&transport=websocket"}]}
JSON
rm -rf "$work/reports"
LD_LIBRARY_PATH=$(dirname "$(find "$work/python" -name 'libssl.so*' | head -1)") PYTHONPATH=$work/site \
  "$work/python/usr/bin/python2.7" -m autobahntestsuite.wstest -m fuzzingclient -s "$work/spec.json" >"$work/wstest.log" 2>&1 ||
  { tail -20 "$work/wstest.log"; exit 1; }

python3 - "$work/reports/index.json" <<'PY'
import collections, json, sys

(cases,) = json.load(open(sys.argv[1])).values()
counts = collections.Counter(case["behavior"] for case in cases.values())
bad = {
    name: (case["behavior"], case["behaviorClose"])
    for name, case in cases.items()
    if case["behavior"] not in ("OK", "INFORMATIONAL", "NON-STRICT")
    or case["behaviorClose"] not in ("OK", "INFORMATIONAL")
}
print(f"{len(cases)} cases:", ", ".join(f"{count} {how}" for how, count in counts.items()))
print("not strict:", sorted(name for name, case in cases.items() if case["behavior"] == "NON-STRICT"))
for name, how in sorted(bad.items()):
    print("failed:", name, *how)
# 1 to 7, 9 and 10 have 301 cases: a suite that was cut short must not pass.
sys.exit(bool(bad) or len(cases) < 300)
PY
