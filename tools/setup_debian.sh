#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what Transpike needs on Debian 12: `build`, `demo` (build + sample data) or `test` (demo +
# test libraries). Does nothing when everything is there; needs root only when something is missing.
set -eu

purpose=${1:-build}
packages="gcc libc6-dev meson ninja-build pkg-config libprotobuf-c-dev protobuf-c-compiler
  protobuf-compiler libarchive-dev libopenblas-dev libturbojpeg0-dev libspng-dev libcjson-dev
  nettle-dev zlib1g-dev"
case $purpose in
build) ;;
demo) packages="$packages dataset-fashion-mnist" ;;
test) packages="$packages dataset-fashion-mnist libcmocka-dev python3 python3-venv clang
  libclang-rt-14-dev" ;;
*)
  echo "usage: tools/setup_debian.sh build|demo|test" >&2
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
