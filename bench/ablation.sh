#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What each ingredient of calibration brings: from ECMT's published rule to what `convert` does, one
# more at a time, each with top-1, agreement, KL and synaptic energy at every step. The last row is
# `transpike convert` itself, and must repeat the one before it.
#
#   bench/ablation.sh [--build DIR] [--limit N] MODEL.onnx DATA [options of convert]
#
# Images: those behind the calibration images; --limit takes the first N of them, for a quick look.
# Options of convert that choose ingredients or layers themselves are refused: a row would not heed
# them.
set -eu
build=build
limit=0
while [ $# -gt 0 ]; do
    case $1 in
    --build) build=$2 && shift 2 ;;
    --limit) limit=$2 && shift 2 ;;
    *) break ;;
    esac
done
if [ $# -lt 2 ]; then
    sed -n '7,9s/^# *//p' "$0" >&2
    exit 2
fi
model=$1
data=$2
shift 2
for option in "$@"; do
    case $option in
    --mirror* | --keep-analog* | --coding* | --preset* | --max-loss* | --max-energy* | \
        --min-agreement* | --time-budget*)
        echo "ablation.sh: ${option%%=*} would be lost: rows choose their own ingredients" >&2
        exit 2
        ;;
    esac
done
ninja -C "$build" cli/transpike bench/bench_ablation >&2
base=$(mktemp -d)
trap 'rm -r "$base"' EXIT
"$build/cli/transpike" convert "$model" --data "$data" "$@" -o "$base/all.spike" >&2
echo "| ingredients | T | top-1 | agreement | KL | synaptic energy |"
echo "|---|---|---|---|---|---|"
row()
{
    "$build/bench/bench_ablation" "$base/all.spike" "$model" "$data" "$1" "$2" "$limit"
}
row "ECMT" none
names=
for name in per-channel nearest-level differential site-ladders prior compensation signed-ladders \
    class-token mirror-images price; do
    names=$names${names:+,}$name
    row "+ $name" "$names"
done
row "convert" all
