#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The long forms of the trust checks, one table at the end: what was tried, how many, how many
# survived. Short forms of most are in the suite `trust` of `meson test`.
#
#   tests/trust.sh [PART...]    parts: damage allocations writes same_bytes sharing tsan soak api
#                               valgrind mutation; without one: all
#
# TRUST_SOAK_SECONDS (1800) bounds the soak. TRUST_FORM=short takes the short forms, those of the
# suite, and leaves out other builds. TRUST_BUILD names a finished build folder to use.
#
# Reports of the parts stay in build-test/trust-reports; docs/reliability.md holds a table.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
build=${TRUST_BUILD:-$root/build-test/trust}
reports=$root/build-test/trust-reports
form=${TRUST_FORM:-long}
long=--long
[ "$form" = long ] || long=
# shellcheck disable=SC2086 # $long is one word or none
OMP_WAIT_POLICY=passive
export OMP_WAIT_POLICY
[ ! -x build-test/venv/bin/python3 ] || PATH=$root/build-test/venv/bin:$PATH
meson=/usr/bin/meson
if [ -z "${TRUST_BUILD:-}" ]; then
  [ -f "$build/build.ninja" ] || $meson setup "$build" --buildtype=release
  ninja -C "$build"
fi
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
    echo "trust.sh: $name: exit $?: $reports/$name.txt" >&2
    status=1
  }
}

run_damage() {
  part damage python3 tests/trust/check_damage.py "$transpike" "$tools/damage" $long
}

run_allocations() {
  part allocations python3 tests/trust/check_allocations.py "$transpike" "$tools/allocations" $long
}

run_writes() {
  part writes python3 tests/trust/check_writes.py "$transpike" "$tools/libfailing_write.so" $long
}

# Other builds: gcc and clang, without and with optimisation.
run_same_bytes() {
  others=
  for other in gcc-0 gcc-3 clang-0 clang-3; do
    [ "$form" = long ] || continue
    compiler=${other%-*}
    command -v "$compiler" >/dev/null || continue
    folder=build-test/trust-$other
    [ -f "$folder/build.ninja" ] ||
      CC=$compiler $meson setup "$folder" -Dtests=false -Ddefault_library=static \
        --optimization="${other#*-}" -Dwerror=false >/dev/null
    ninja -C "$folder" cli/transpike >/dev/null
    others="$others $root/$folder/cli/transpike"
  done
  # shellcheck disable=SC2086
  part same_bytes python3 tests/trust/check_same_bytes.py "$transpike" $long $others
}

run_sharing() {
  part sharing python3 tests/trust/with_tiny.py "$transpike" "$tools/sharing"
}

# ThreadSanitizer knows the threads of pthread; OpenMP's runtime is not built with it, so the
# library runs without, in eight threads of the program.
run_tsan() {
  folder=build-test/trust-tsan
  [ -f "$folder/build.ninja" ] ||
    CC=clang $meson setup "$folder" -Db_sanitize=thread -Db_lundef=false -Dopenmp=disabled \
      -Dsimd=false --buildtype=debugoptimized -Dwerror=false >/dev/null
  ninja -C "$folder" cli/transpike tests/trust/sharing >/dev/null
  part tsan env TSAN_OPTIONS=halt_on_error=1 python3 tests/trust/with_tiny.py "$transpike" \
    "$root/$folder/tests/trust/sharing"
  sed -i 's/^TRUST|/TRUST|ThreadSanitizer: /' "$reports/tsan.txt"
}

# Half of the corpus are damaged files.
run_soak() {
  part soak python3 tests/trust/with_tiny.py "$transpike" "$tools/soak" \
    "${TRUST_SOAK_SECONDS:-1800}" tests/fuzz/corpus/*/*
}

run_api() {
  part api sh -c 'python3 tests/trust/check_symbols.py "$1"/libtranspike.so tests/trust/symbols.txt &&
    python3 tests/trust/check_security_doc.py .' sh "$build"
}

run_valgrind() {
  part valgrind python3 tests/trust/check_valgrind.py "$transpike"
}

run_mutation() {
  part mutation python3 tests/mutation/mutate.py --build "$root/build-test/mutation"
}

[ $# -gt 0 ] ||
  set -- damage allocations writes same_bytes sharing tsan soak api valgrind mutation
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
