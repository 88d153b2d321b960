#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds twice (release, and with AddressSanitizer and
# UndefinedBehaviorSanitizer) and runs every test of the release, and under the sanitizers all but
# the long ones (suites end_to_end, oracle and release_only). Where clang is there, the fuzz targets
# run for a minute together. The last line says `N passed, N failed`.
# Tests that need shared data find them through TRANSPIKE_DATA and skip with a message without it.
set -eu
cd "$(dirname "$0")"
# What ends before the results are counted is a failure as well.
trap 'echo "test.sh: could not prepare the tests" >&2; echo "0 passed, 1 failed"' EXIT

./tools/setup_debian.sh test
venv=$PWD/build-test/venv
if [ ! -x "$venv/bin/python3" ]; then
  mkdir -p build-test
  python3 -m venv "$venv"
fi
"$venv/bin/python3" -c 'import numpy, onnx, onnxruntime, PIL, pytest' 2>/dev/null ||
  "$venv/bin/pip" install -q --disable-pip-version-check -r tests/requirements.txt ||
  echo "test.sh: the Python oracles could not be installed: their tests skip" >&2
PATH=$venv/bin:$PATH
export PATH
[ -n "${TRANSPIKE_DATA:-}" ] ||
  echo "test.sh: TRANSPIKE_DATA is not set: tests on shared data skip" >&2

# Tests run side by side: idle threads leave the cores to others, and a busy machine is no failure.
export OMP_WAIT_POLICY=passive
rm -f build-test/*/meson-logs/testlog.json
status=0
# The package's Meson: a Python environment's own would put its Python before the venv's.
meson=/usr/bin/meson
[ -f build-test/release/build.ninja ] || $meson setup build-test/release --buildtype=release
ninja -C build-test/release all benches
$meson test -C build-test/release --no-rebuild --print-errorlogs --timeout-multiplier 2 || status=$?

[ -f build-test/sanitize/build.ninja ] ||
  $meson setup build-test/sanitize --buildtype=debugoptimized -Dsanitize=true
ninja -C build-test/sanitize
ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
  $meson test -C build-test/sanitize --no-rebuild --print-errorlogs --timeout-multiplier 4 \
  --no-suite end_to_end --no-suite oracle --no-suite release_only || status=$?
fuzz=
if command -v clang >/dev/null; then
  fuzz=build-test/fuzz
  [ -f $fuzz/build.ninja ] || CC=clang $meson setup $fuzz -Dfuzz=true -Dtests=false -Dsimd=false
  ninja -C $fuzz
  mkdir -p build-test/scratch
  TMPDIR=$PWD/build-test/scratch $meson test -C $fuzz --no-rebuild --print-errorlogs || status=$?
else
  echo "test.sh: no clang: the fuzz targets run over their corpus only" >&2
fi
trap - EXIT
"$venv/bin/python3" tests/count_results.py build-test/release build-test/sanitize $fuzz || status=$?
exit $status
