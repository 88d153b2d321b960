#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# test_spike_kernels.c with the NEON kernels, compiled for aarch64 without any library and run by
# qemu. Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user.
set -eu
root=$1
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is missing"; exit 77; }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
aarch64-linux-gnu-gcc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -ffp-contract=off -static \
  -I"$root/tests/runtime_spike/static_cmocka" -I"$root" -I"$root/include" \
  "$root/tests/runtime_spike/test_spike_kernels.c" "$root"/runtime/spike/kernels*.c \
  "$root/core/cpu.c" "$root/core/fail.c" "$root/core/rng.c" -lm -o "$folder/test"
qemu-aarch64 -cpu max "$folder/test" >"$folder/out" || { cat "$folder/out"; exit 1; }
cat "$folder/out"
grep -q ", neon$" "$folder/out" || { echo "the NEON kernels were not tested"; exit 1; }
