# SPDX-License-Identifier: Apache-2.0
"""convert with a budget: the table, the modes, what a file without them says, an unmet budget.

usage: check_budget.py TRANSPIKE SAMPLES_FOLDER
Skips (77) without Debian's dataset-fashion-mnist.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

from check_end_to_end import PREPROCESS, Checks, call, find_data, write_images


def refused(status, *args):
    result = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    lines = result.stderr.splitlines()
    return result.returncode != 0 and len(lines) == 1 and lines[0].endswith(f"[{status}]")


def convert(transpike, onnx, data, out, *budget):
    report = out.with_suffix(".json")
    call(transpike, "convert", onnx, "--data", data / "train-images-idx3-ubyte.gz", *PREPROCESS,
         "--calib-images", 32, "--steps", 3, "-o", out, "--json", report, *budget)
    return json.loads(report.read_text())


def write_inputs(folder, data):
    import numpy as np
    from PIL import Image
    images = folder / "images-idx3-ubyte"
    write_images(images, data, 0, 40)
    pixels = np.frombuffer(images.read_bytes()[16:16 + 784], np.uint8).reshape(28, 28)
    Image.fromarray(pixels).save(folder / "image.png")


def beats(a, b):
    pairs = [(a[key], b[key]) for key in ("energy_synaptic", "kl")]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def check_met(checks, transpike, onnx, data, folder):
    spike = folder / "met.spike"
    report = convert(transpike, onnx, data, spike, "--levels", 8, "--max-loss", 3,
                     "--time-budget", "40s")
    rows = {row["id"]: row for row in report["pareto"]}
    balanced, fast = (rows[report["chosen"][mode]] for mode in ("balanced", "fast"))
    checks.check(report["met"] and report["schema"] == "transpike.convert/1", "the budget is met")
    checks.check(balanced["loss"] <= 3 and balanced["agreement"] >= 0.94, "balanced is within it")
    checks.check(fast["energy_synaptic"] <= balanced["energy_synaptic"], "fast costs no more")
    checks.check(all(row["levels"] == 8 for row in rows.values()), "--levels pins the levels")
    others = [row for row in rows.values() if row not in (balanced, fast)]
    checks.check(not any(beats(a, b) for a in rows.values() for b in others),
                 "the table is a Pareto front")
    checks.check(all(row["settings"][key] == row[key] for row in rows.values()
                     for key in ("levels", "steps", "policy")) and
                 all(0 <= row["settings"]["refine"] < 1 for row in rows.values()),
                 "settings say what was tried")
    checks.check(any(row["settings"]["merge"] for row in rows.values()), "merging was tried")
    modes = {m["mode"]: m for m in
             json.loads(call(transpike, "inspect", spike, "--json", "-"))["modes"]}
    checks.check(all(bool(row["settings"]["merge"]) == bool(modes[mode].get("merged_pairs"))
                     for mode, row in (("balanced", balanced), ("fast", fast))),
                 "a mode merges tokens where its line says so")
    checks.check(modes["exact"]["steps"] == 3 and modes["balanced"]["steps"] == balanced["steps"]
                 and modes["fast"]["steps"] == fast["steps"], "inspect lists the modes")
    image = folder / "image.png"
    by_mode = json.loads(call(transpike, "run", spike, image, "--mode", "balanced", "--json", "-"))
    steps = by_mode["images"][0]["steps"]
    by_steps = json.loads(call(transpike, "run", spike, image, "--steps", steps, "--json", "-"))
    checks.check(by_mode["mode"] == "balanced" and 1 <= steps <= balanced["steps"] and
                 (balanced["settings"]["merge"] or
                  by_mode["images"][0]["top"] == by_steps["images"][0]["top"]),
                 "run --mode balanced is the first steps of exact where no tokens merge")
    line = [transpike, "validate", spike, "--onnx", onnx, "--data", folder / "images-idx3-ubyte",
            "--json", "-"]
    every, one = (json.loads(call(*line, *mode))["snn"] for mode in ([], ["--mode", "balanced"]))
    entries = {entry["mode"]: entry for entry in every["adaptive"]}
    checks.check(set(entries) == {"balanced", "fast"} and [e["mode"] for e in one["adaptive"]] ==
                 ["balanced"], "validate runs every mode, or the one that is asked for")
    for entry in entries.values():
        counts = entry["steps_histogram"]
        mean = sum(n * (t + 1) for t, n in enumerate(counts)) / sum(counts)
        checks.check(sum(counts) == 40 and abs(entry["mean_steps"] - mean) < 1e-9,
                     f"{entry['mode']}: every image is in the histogram")
    last = every["steps"][balanced["steps"] - 1]
    whole = json.loads(call(*line, "--mode", "balanced", "--policy", "none"))["snn"]["adaptive"][0]
    checks.check(whole["policy"] == "none" and
                 (balanced["settings"]["merge"] or all(whole[key] == last[key] for key in
                                                       ("agreement", "kl", "energy_synaptic"))),
                 "without its policy a mode's figures are its last step's")


def check_unmet(checks, transpike, onnx, data, folder):
    spike = folder / "unmet.spike"
    report = convert(transpike, onnx, data, spike, "--levels", 2, "--max-loss", 0,
                     "--min-agreement", 1, "--max-energy", 0.05, "--time-budget", "1s")
    checks.check(not report["met"] and spike.exists(), "an unmet budget is said, the best is saved")
    plain = folder / "plain.spike"
    call(transpike, "convert", onnx, "--data", data / "train-images-idx3-ubyte.gz", *PREPROCESS,
         "--calib-images", 8, "--steps", 1, "-o", plain)
    checks.check(refused("UNSUPPORTED", transpike, "validate", plain, "--onnx", onnx, "--data",
                         folder / "images-idx3-ubyte", "--mode", "fast"),
                 "validate refuses a mode that the file lacks")
    checks.check(refused("UNSUPPORTED", transpike, "run", plain, folder / "image.png", "--mode",
                         "fast"), "a mode that the file lacks is refused")
    checks.check(refused("USAGE", transpike, "convert", onnx, "--data", data, "-o", plain,
                         "--time-budget", "1m"), "a time without a budget is refused")


def check_merge(checks, transpike, onnx, data, folder):
    """convert --merge without a search: the modes, their policies, and what is refused."""
    spike, plain = folder / "merge.spike", folder / "plain.spike"
    line = [transpike, "convert", onnx, "--data", data / "train-images-idx3-ubyte.gz", *PREPROCESS,
            "--calib-images", 8, "--steps", 2, "--levels", 4, "-o"]
    said = call(*line, spike, "--merge", "6")
    checks.check("balanced" in said and "pairs of tokens merge" in said,
                 "convert --merge says its modes")
    judge = [transpike, "validate", spike, "--onnx", onnx, "--data", folder / "images-idx3-ubyte",
             "--json", "-"]
    for policy in ("margin", "net"):
        entry = json.loads(call(*judge, "--mode", "balanced", "--policy", policy))["snn"]["adaptive"][-1]
        checks.check(entry["policy"] == policy and 1 <= entry["mean_steps"] <= 2,
                     f"a mode that merges has a fitted {policy}")
    modes = {entry["mode"]: entry for entry in
             json.loads(call(*judge, "--ablation", "--policy", "margin", "--exit", "1"))
             ["snn"]["adaptive"]}
    checks.check(all(modes[name]["policy"] == "margin" and modes[name]["mean_steps"] == 2
                     for name in ("exit", "all")) and modes["merge"]["policy"] == "none",
                 "--ablation takes --policy and --exit")
    checks.check(modes["exit"]["mean_tokens"] == 1 > modes["merge"]["mean_tokens"],
                 "--ablation: tokens merge in merge, not in exit")
    checks.check("tokens" in call(*judge[:-2]), "validate's table has tokens")
    checks.check(refused("UNSUPPORTED", transpike, "validate", plain, "--onnx", onnx, "--data",
                         folder / "images-idx3-ubyte", "--merge", "on"),
                 "validate --merge on is refused where nothing merges")
    checks.check(refused("RANGE", *line, spike, "--merge", "40", "-q"),
                 "more pairs than there are tokens are refused")
    report = convert(transpike, onnx, data, folder / "asked.spike", "--levels", 4, "--max-loss", 3,
                     "--merge", "5", "--time-budget", "1s")
    checks.check({row["settings"]["merge"] for row in report["pareto"]} <= {0, 5},
                 "a search takes the pairs that are asked for")


def check_cache(checks, transpike, onnx, data, folder):
    """Mirror images are left out first, then images, then all is refused."""
    line = [transpike, "convert", onnx, "--data", data / "train-images-idx3-ubyte.gz", *PREPROCESS,
            "--calib-images", 12, "--steps", 1, "--levels", 2, "-o", folder / "cache.spike"]
    files = {}
    for size in ("0", "1GiB", "5MiB", "1MiB"):
        said = call(*line, "--calib-cache", size)
        files[size] = (said.split(" calibration images")[0].split()[-1],
                       (folder / "cache.spike").read_bytes())
    checks.check(files["0"] == files["1GiB"] and files["0"][0] == "12", "a large cache changes nothing")
    checks.check(files["5MiB"][0] == "12" and files["5MiB"][1] != files["0"][1],
                 "mirror images are left out first")
    checks.check(0 < int(files["1MiB"][0]) < 12, "then images")
    checks.check(refused("LIMIT", *line, "--calib-cache", "10KiB", "-q"), "a cache for no image is refused")


def main():
    transpike, onnx = sys.argv[1], pathlib.Path(sys.argv[2]) / "fashion_vit.onnx"
    data = find_data()
    if not data:
        print("dataset-fashion-mnist is not installed")
        sys.exit(77)
    try:
        import PIL  # noqa: F401
    except ImportError:
        print("Pillow is not installed")
        sys.exit(77)
    checks = Checks()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_inputs(folder, data)
        check_met(checks, transpike, onnx, data, folder)
        check_unmet(checks, transpike, onnx, data, folder)
        check_merge(checks, transpike, onnx, data, folder)
        check_cache(checks, transpike, onnx, data, folder)
    sys.exit(checks.failed > 0)


if __name__ == "__main__":
    main()
