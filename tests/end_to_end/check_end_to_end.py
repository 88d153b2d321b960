# SPDX-License-Identifier: Apache-2.0
"""The whole way on the Fashion-MNIST sample: convert, run, validate, and the promise of same bytes.

usage: check_end_to_end.py TRANSPIKE SAMPLES_FOLDER
Skips (77) without Debian's dataset-fashion-mnist.
"""
import gzip
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

PREPROCESS = ["--mean", "0.286", "--std", "0.353"]


def find_data():
    listing = subprocess.run(["dpkg", "-L", "dataset-fashion-mnist"], capture_output=True, text=True)
    for line in listing.stdout.splitlines():
        if line.endswith("train-images-idx3-ubyte.gz"):
            return pathlib.Path(line).parent
    return None


def call(*args):
    result = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(map(str, args))}: exit {result.returncode}: {result.stderr}")
    return result.stdout


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Checks:
    def __init__(self):
        self.failed = 0

    def check(self, holds, what):
        print(("ok      " if holds else "FAILED  ") + what)
        self.failed += not holds


def write_images(path, data, first, n):
    """An IDX file of n test images, from `first` on, without labels."""
    raw = gzip.open(data / "t10k-images-idx3-ubyte.gz").read()
    header = raw[:4] + n.to_bytes(4, "big") + raw[8:16]
    path.write_bytes(header + raw[16 + first * 784:16 + (first + n) * 784])


def check_several_outputs(checks, transpike, shared, folder):
    """The class output alone counts: the last block keeps the class token only."""
    case = shared / "onnx-vit" / "hand-multi__legacy__op16__b1"
    call(transpike, "convert", case / "model.onnx", "--data", case / "inputs.npy", "--steps", 1,
         "-o", folder / "multi.spike")
    sites = json.loads(call(transpike, "inspect", folder / "multi.spike", "--json", "-"))["sites"]
    tokens = {s["name"]: s["tokens"] for s in sites}
    checks.check(tokens["blocks.1.attn.query"] == 1 and tokens["blocks.1.attn.key"] == 17,
                 "several outputs: the last block computes the class token alone")


def check_few_images(checks, transpike, onnx, train, images, folder):
    """One or three images are enough to convert; threads change nothing, mirror images do."""
    def convert(name, n, *flags):
        spike = folder / f"{name}.spike"
        call(transpike, "convert", onnx, "--data", train, "--calib-images", n, "--steps", 1,
             "--levels", 4, *PREPROCESS, *flags, "-o", spike)
        return spike

    for n in (1, 3):
        alone, shared = (convert(f"few{n}-{k}", n, "--threads", k) for k in (1, 3))
        checks.check(digest(alone) == digest(shared),
                     f"{n} calibration images: 1 and 3 threads, same bytes")
        plain = convert(f"few{n}-plain", n, "--mirror", "off")
        checks.check(digest(plain) != digest(alone), f"{n} calibration images: --mirror off counts")
        report = json.loads(call(transpike, "run", alone, images, "--json", "-"))
        checks.check(len(report["images"]) == 21, f"{n} calibration images: the network runs")


def check_kept_analog(checks, transpike, onnx, train, images, folder):
    """Sites that do not spike: in float, listed, paid at each step, or once before the first site."""
    common = [transpike, "convert", onnx, "--data", train, "--calib-images", 16, "--steps", 2,
              *PREPROCESS]
    spike, npz = folder / "kept.spike", folder / "kept.npz"
    call(*common, "--keep-analog", "blocks.0.attn.qkv,blocks.1.attn.value,head", "-o", spike)
    listed = json.loads(call(transpike, "inspect", spike, "--json", "-"))
    whole = json.loads(call(transpike, "inspect", onnx, "--json", "-"))
    kept = {s["name"] for s in listed["sites"] if not s["spiking"]}
    checks.check(kept == {"blocks.0.attn.qkv.input", "blocks.1.attn.query", "blocks.1.attn.key",
                          "blocks.1.attn.value", "blocks.1.attn.numerator", "head.input"},
                 "--keep-analog: a layer's site, an attention as a whole, the head")
    checks.check(sorted(s["name"] for s in listed["sites"]) ==
                 sorted(s["name"] for s in whole["sites"]), "--keep-analog: no site is lost")
    fan_out = {s["name"]: s["fan_out"] for s in whole["sites"]}
    checks.check(all(s["fan_out"] == fan_out[s["name"]] for s in listed["sites"]),
                 "--keep-analog: fan-outs are those of the neurons")
    checks.check({(a["op"], a["count"]) for a in listed["analog"]
                  if a["why"] == "kept from spiking"} == {("Linear", 4), ("Attention", 1)},
                 "--keep-analog: what is computed in float is listed as analog")
    for names, what in (("blocks.0.attn.qk", "blocks.0.attn.qkv.input"),
                        ("blocks", "blocks.0.mlp.fc1.input"), ("head,blocks", "nothing is left"),
                        ("x", "no site is called")):
        refused = subprocess.run([str(a) for a in common] + ["--keep-analog", names, "-o", spike],
                                 capture_output=True, text=True)
        if names == "blocks":
            checks.check(refused.returncode == 0, "--keep-analog blocks: the head spikes alone")
            continue
        checks.check(refused.returncode == 50 and what in refused.stderr and
                     refused.stderr.rstrip().endswith("[RANGE]"), f"--keep-analog {names}: refused")
    try:
        import numpy
    except ImportError:
        print("numpy is missing: the energy of sites kept analog is not recounted")
        return
    call(*common, "--keep-analog", "blocks.0.attn.qkv,blocks.1.attn.value,head", "-o", spike)
    report = json.loads(call(transpike, "run", spike, images, "--dump-spikes", npz, "--json", "-"))
    macs = whole["macs"]
    tokens, width = 50, 96
    once = tokens * width * 3 * width           # q, k, v of block 0 stand before every site
    each = 2 * tokens * tokens * width          # both products of block 1
    dump = numpy.load(npz)
    for i in (0, len(report["images"]) - 1):
        adds = sum(int(((dump[m][i] != 0) * dump[m.replace("codes", "fan_out")][0]).sum())
                   for m in dump.files if m.endswith("codes"))
        wanted = (0.9 * adds + 4.6 * (once + 2 * each)) / 4.6 / (macs["linear"] + macs["product"])
        found = report["images"][i]["energy_synaptic"]
        checks.check(abs(found - wanted) < 1e-6 * wanted,
                     f"--keep-analog: energy {found:.6f}, recounted {wanted:.6f}")


def main():
    transpike, samples = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    data = find_data()
    if data is None:
        print("dataset-fashion-mnist is not installed: skipped")
        return 77
    checks = Checks()
    train = data / "train-images-idx3-ubyte.gz"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        onnx = samples / "fashion_vit.onnx"
        common = [transpike, "convert", onnx, "--data", train, "--calib-images", 48, "--steps", 3,
                  *PREPROCESS]
        for name, threads in (("a", 1), ("b", 2), ("c", 3)):
            call(*common, "--threads", threads, "-o", folder / f"{name}.spike")
        checks.check(digest(folder / "a.spike") == digest(folder / "b.spike") ==
                     digest(folder / "c.spike"), "three conversions, 1, 2 and 3 threads: same bytes")
        spike = folder / "a.spike"

        images = folder / "t-images-idx3-ubyte"
        write_images(images, data, 0, 21)
        variants = {"threads 1": ["--threads", 1], "threads 2": ["--threads", 2],
                    "threads 3": ["--threads", 3], "threads 7": ["--threads", 7],
                    "batch 1": ["--batch", 1, "--threads", 2], "batch 16": ["--batch", 16],
                    "scalar": ["--isa", "scalar"]}
        if " avx2 " in pathlib.Path("/proc/cpuinfo").read_text():
            variants["avx2"] = ["--isa", "avx2"]
        digests = {}
        for name, flags in variants.items():
            out = folder / "logits.npy"
            call(transpike, "run", spike, images, *flags, "--output", out)
            digests[name] = digest(out)
        for name, value in digests.items():
            checks.check(value == digests["threads 1"], f"logits with {name}: same bytes")

        for coding in (["--coding", "rate"], ["--preset", "ecmt"]):
            call(transpike, "convert", onnx, "--data", train, "--calib-images", 16, "--steps", 2,
                 *coding, *PREPROCESS, "-o", folder / "other.spike")
            call(transpike, "run", folder / "other.spike", images, "--output", folder / "o.npy")
            checks.check(True, f"{' '.join(coding)}: converts and runs")

        check_few_images(checks, transpike, onnx, train, images, folder)
        check_kept_analog(checks, transpike, onnx, train, images, folder)
        report = json.loads(call(transpike, "validate", spike, "--onnx", onnx, "--data",
                                 data / "t10k-images-idx3-ubyte.gz", "--limit", 400, "--json", "-"))
        ann, steps = report["ann"], report["snn"]["steps"]
        checks.check(report["schema"] == "transpike.validate/1" and report["images"] == 400,
                     "validate --json: schema and count")
        checks.check(ann["top1"] > 0.87, f"source network: top-1 {ann['top1']:.4f}")
        checks.check([s["t"] for s in steps] == [1, 2, 3], "one entry a step")
        for s in steps:
            least = (0, 0.93, 0.97, 0.98)[s["t"]]
            checks.check(s["agreement"] >= least,
                         f"t = {s['t']}: agreement {s['agreement']:.4f} >= {least}, "
                         f"KL {s['kl']:.5f}, energy {s['energy_synaptic']:.3f}")
            checks.check(0 < s["energy_synaptic"] < 0.22 * s["t"] < 1 and
                         s["energy_full"] > s["energy_synaptic"], "energies in range")
        checks.check(steps[0]["kl"] > steps[1]["kl"] > steps[2]["kl"], "KL falls with every step")
        checks.check(report["calibration_overlap"] == 0, "no image was used for both")

        other = subprocess.run([transpike, "validate", spike, "--onnx",
                                samples / "fashion_vit_dynamo.onnx", "--data", images],
                               capture_output=True, text=True)
        checks.check(other.returncode == 61 and other.stderr.rstrip().endswith("[MISMATCH]") and
                     other.stderr.count("\n") == 1, "another source network: [MISMATCH]")
        shared = os.environ.get("TRANSPIKE_DATA")
        if shared:
            check_several_outputs(checks, transpike, pathlib.Path(shared), folder)
        else:
            print("TRANSPIKE_DATA is not set: several outputs not checked")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
