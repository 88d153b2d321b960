#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From a fresh Debian 12 to a result table: installs, builds, converts the sample ViT on 128 training
# images of Fashion-MNIST, runs it on a test image and validates it on the 10,000 test images.
set -eu
cd "$(dirname "$0")"

./tools/setup_debian.sh demo
[ -f build/build.ninja ] || meson setup build --buildtype=release -Dtests=false
ninja -C build

data=$(dirname "$(dpkg -L dataset-fashion-mnist | grep train-images | head -n 1)")
out=${TRANSPIKE_DEMO_DIR:-build/demo}
mkdir -p "$out"
preprocess="--mean 0.286 --std 0.353"

echo
echo "== inspect: can it be converted?"
./build/cli/transpike inspect samples/fashion_vit.onnx
echo
echo "== convert: 128 training images, no labels used"
# shellcheck disable=SC2086
./build/cli/transpike convert samples/fashion_vit.onnx --data "$data/train-images-idx3-ubyte.gz" \
  --calib-images 128 --steps 4 --levels 8 $preprocess -o "$out/fashion_vit.spike"
ls -l "$out/fashion_vit.spike" samples/fashion_vit.onnx
echo
echo "== run: the first three test images"
gzip -dc "$data/t10k-images-idx3-ubyte.gz" | {
  dd bs=16 count=1 iflag=fullblock status=none >/dev/null
  printf '\000\000\010\003\000\000\000\003\000\000\000\034\000\000\000\034'
  dd bs=784 count=3 iflag=fullblock status=none
} >"$out/three-images-idx3-ubyte"
./build/cli/transpike run "$out/fashion_vit.spike" "$out/three-images-idx3-ubyte" --top 3
echo
echo "== validate: the 10,000 test images, spiking network beside its source"
./build/cli/transpike validate "$out/fashion_vit.spike" --onnx samples/fashion_vit.onnx \
  --data "$data/t10k-images-idx3-ubyte.gz" --json "$out/validate.json"
