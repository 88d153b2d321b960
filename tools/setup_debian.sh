#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what Transpike needs on Debian 12: `build`, `demo` (build + sample data), `python` (build +
# what `pip install .` needs), `test` (demo + python + test libraries) or `fuzz` (test + clang and
# libFuzzer). Does nothing when everything is there; needs root only when something is missing.
set -eu

purpose=${1:-build}
# dpkg-dev tells meson the library folder of Debian: without it libraries go to lib64, where neither
# the loader nor pkg-config looks.
packages="gcc libc6-dev dpkg-dev meson ninja-build pkg-config libprotobuf-c-dev protobuf-c-compiler
  libarchive-dev libopenblas-dev libturbojpeg0-dev libspng-dev libcjson-dev libssl-dev zlib1g-dev
  libjs-chart.js"
demo_packages="dataset-fashion-mnist"
python_packages="python3 python3-dev python3-venv"
test_packages="$demo_packages $python_packages libcmocka-dev gcc-aarch64-linux-gnu
  libc6-dev-arm64-cross qemu-user"
case $purpose in
build) ;;
demo) packages="$packages $demo_packages" ;;
python) packages="$packages $python_packages" ;;
test) packages="$packages $test_packages" ;;
fuzz) packages="$packages $test_packages clang libclang-rt-14-dev" ;;
*)
  echo "usage: tools/setup_debian.sh build|demo|python|test|fuzz" >&2
  exit 2
  ;;
esac

missing=
for package in $packages; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "tools/setup_debian.sh: these packages are missing and only root can install them:$missing" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $missing
