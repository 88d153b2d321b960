#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The long forms of the trust checks, one table at the end: what was tried, how many, how many
# survived. Short forms of most are in the suite `trust` of `meson test`.
#
#   tests/trust.sh [PART...]        all parts, or: damage
#
# Reports of the parts stay in build-test/trust/reports; docs/reliability.md holds a table.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
build=$root/build-test/trust
reports=$build/reports
OMP_WAIT_POLICY=passive
export OMP_WAIT_POLICY
[ ! -x build-test/venv/bin/python3 ] || PATH=$root/build-test/venv/bin:$PATH
meson=/usr/bin/meson
[ -f "$build/build.ninja" ] || $meson setup "$build" --buildtype=release
ninja -C "$build"
mkdir -p "$reports"
transpike=$build/cli/transpike
tools=$build/tests/trust
status=0

# part NAME COMMAND...: its output to the report, where the lines of the table are.
part() {
  name=$1
  shift
  echo "== $name" >&2
  "$@" >"$reports/$name.txt" 2>&1 || {
    status=1
    echo "trust.sh: $name: exit $?: $reports/$name.txt" >&2
  }
}

run_damage() {
  part damage python3 tests/trust/check_damage.py "$transpike" "$tools/damage" --long
}

[ $# -gt 0 ] || set -- damage
for name; do
  "run_$name"
done

echo "commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
echo
echo "| what was tried | how many | survived | |"
echo "|---|---|---|---|"
for name; do
  sed -n 's/^TRUST|\(.*\)|\(.*\)|\(.*\)|\(.*\)$/| \1 | \2 | \3 | \4 |/p' "$reports/$name.txt"
done
exit $status
