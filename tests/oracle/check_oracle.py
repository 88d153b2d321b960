# SPDX-License-Identifier: Apache-2.0
"""check_oracle.py toy TRANSPIKE SPIKE_TOOL | fashion TRANSPIKE MODEL.onnx | vit_tiny TRANSPIKE

Makes spike graphs and holds the runtime against the oracle on them, see run_oracle.py:
  toy        the toy graphs of tests/spikefile: both codings, int8 and int16 weights, level and
             exponent codes, numerators and quotients, a fresh and a fixed maximum, sites that
             were kept from spiking, tokens that merge and that are refined;
  fashion    the sample on Fashion-MNIST's test images (Debian's dataset-fashion-mnist);
  vit_tiny   the real ViT-Tiny of $TRANSPIKE_DATA on its images.
The toys also show that the oracle notices: a changed code, input and product are found."""
import gzip
import os
import random
import subprocess
import sys
import tempfile

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
try:
    import numpy as np
except ImportError:
    print("skipped: NumPy is missing")
    sys.exit(77)

import run_oracle

FASHION = "/usr/share/datasets/fashion-mnist"


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


# --- toy ---

def notices(exe, spike, images, folder):
    """Whether part (a) or (b) sees each of some changes to a dump."""
    net = run_oracle.Network(run_oracle.read_spike.read(spike))
    net.steps = net.point["steps"]
    logits, dump = run_oracle.run(exe, spike, images, folder, "spoilt", net.steps,
                                  ["--dump-products"])
    members = dict(dump)
    dump.close()
    fine = True
    for site in net.sites:
        if site["is_head"]:
            continue
        for what, change in (("codes", 1), ("input", 1e-3), ("product", 1)):
            name = f"{site['name']}/t{net.steps}/{what}"
            kept = members[name]
            spoilt = members[name] = kept.copy()
            spoilt.reshape(-1)[0] += spoilt.dtype.type(change)
            if what == "input":
                spoilt.reshape(-1)[0] += spoilt.dtype.type(change * np.abs(kept).max())
            table = run_oracle.Table(net.steps)
            spoilt_dump = run_oracle.Dump(net, members, table)
            run_oracle.part_a(net, spoilt_dump, table)
            run_oracle.part_b(net, images, spoilt_dump, logits, table)
            members[name] = kept
            if not table.is_bad():
                print(f"{name}: a change goes unnoticed")
                fine = False
    return fine


def toy(exe, spike_tool):
    seed = random.randrange(1 << 20)
    print(f"seed {seed}")
    images = np.random.default_rng(seed).uniform(-2, 2, (8, 1, 8, 8)).astype(np.float32)
    fine = True
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "toy.spike")
        for number in range(64):
            subprocess.run([spike_tool, "write", str(number), path], check=True)
            fine &= run_oracle.check(exe, path, images, few=4, many=8, title=f"toy {number}")
            if number % 3:
                fine &= run_oracle.check(exe, path, images, few=4, many=8, mode="balanced",
                                         title=f"toy {number}, {number % 3} pairs merge")
            if number < 2:
                fine &= notices(exe, path, images[:1], folder)
        for number in range(70, 86):
            subprocess.run([spike_tool, "write", str(number), path], check=True)
            fine &= run_oracle.check(exe, path, images, few=4, many=8, mode="balanced",
                                     title=f"toy {number}, refined, {number % 3} pairs merge")
        for number in (64, 65, 66, 68):
            subprocess.run([spike_tool, "write", str(number), path], check=True)
            fine &= run_oracle.check_exits(exe, path, images, title=f"toy {number}, exits")
    return fine


# --- real ones ---

def convert(exe, onnx, data, spike, flags):
    run_oracle.transpike(exe, "convert", onnx, "--data", data, "-o", spike, *flags)


def settings(*steps):
    yield "differential", []
    yield "rate", ["--coding", "rate"]
    yield "ECMT preset", ["--preset", "ecmt"]
    for t in steps:
        yield f"differential, converted for T = {t}", ["--steps", t]


def has_last_block_of_one_token(spike, tokens):
    """The last block computes the class token alone, of all tokens; the others are whole."""
    sites = run_oracle.read_spike.read(spike)["sites"]
    query = [site for site in sites if site["kind"] == "query"]
    fine = True
    for site in sites[sites.index(query[-1]):]:
        if site["kind"] in ("key", "value"):
            wanted = (tokens, 0, [])
        elif site["is_head"]:
            wanted = (1, 0, [])
        else:
            wanted = (1, tokens, [0])
        found = (site["rows"], site["source_rows"], site["source_row"])
        if found != wanted:
            print(f"{site['name']}: rows {found}, expected {wanted}")
            fine = False
    return fine and query[0]["rows"] == tokens and not query[0]["source_rows"]


KEPT = ["--keep-analog", "blocks.0.attn.qkv,blocks.1.attn.query,blocks.2.mlp"]


MERGED = ["--steps", 2, "--merge", "3,8"]
REFINED = ["--steps", 3, "--merge", 4, "--refine", "0.3,0.2"]


def fashion(exe, onnx):
    if not os.path.exists(onnx):
        skip(f"{onnx} is missing")
    train, test = (os.path.join(FASHION, f"{name}-images-idx3-ubyte.gz")
                   for name in ("train", "t10k"))
    if not os.path.exists(test):
        skip("dataset-fashion-mnist is not installed")
    with gzip.open(test) as file:
        pixels = np.frombuffer(file.read(16 + 64 * 784), np.uint8, offset=16)
    images = (pixels.reshape(64, 1, 28, 28) / np.float32(255) - np.float32(0.286)) / np.float32(
        0.353)
    fine = True
    with tempfile.TemporaryDirectory() as folder:
        spike = os.path.join(folder, "fashion.spike")
        for name, flags in (*settings(1), ("kept analog", KEPT), ("merged tokens", MERGED),
                            ("refined tokens", REFINED)):
            convert(exe, onnx, train, spike, ["--calib-images", 16, "--steps", 4, "--mean", 0.286,
                                              "--std", 0.353, *flags])
            fine &= has_last_block_of_one_token(spike, tokens=50)
            for mode in ("balanced", "fast") if flags in (MERGED, REFINED) else ("exact",):
                fine &= run_oracle.check(exe, spike, images, onnx, few=4, many=64, mode=mode,
                                         title=f"Fashion ViT, {name}, {mode}")
    return fine


def photos(folder, n):
    """The last n photos by name, as the network wants them, [n, 3, 224, 224]."""
    from PIL import Image

    names = sorted(os.path.join(at, name) for at, _, files in os.walk(folder) for name in files
                   if name.lower().endswith((".jpg", ".jpeg", ".png")))[-n:]
    out = []
    for name in names:
        image = Image.open(name).convert("RGB")
        factor = 248 / min(image.size)
        image = image.resize([max(248, int(side * factor)) for side in image.size], Image.BICUBIC)
        left, top = ((side - 224) // 2 for side in image.size)
        pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
        out.append(((pixels - 0.5) / 0.5).transpose(2, 0, 1))
    return np.array(out, np.float32)


def vit_tiny(exe):
    root = os.environ.get("TRANSPIKE_DATA")
    if not root:
        skip("TRANSPIKE_DATA is not set")
    onnx = os.path.join(root, "models", "vit_tiny_imagenet", "torchscript_op17.onnx")
    data = os.path.join(root, "data", "imagenet-sample")
    if not os.path.exists(onnx) or not os.path.isdir(data):
        skip(f"{onnx} or {data} is missing")
    try:
        images = photos(data, 2)
    except ImportError:
        skip("Pillow is missing")
    fine = True
    with tempfile.TemporaryDirectory() as folder:
        spike = os.path.join(folder, "vit.spike")
        for name, flags in settings():
            convert(exe, onnx, data, spike,
                    ["--calib-images", 4, "--steps", 4, "--resize", 248, "--crop", 224, "--mean",
                     "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--interpolation", "bicubic", *flags])
            fine &= run_oracle.check(exe, spike, images, few=2, many=2,
                                     title=f"ViT-Tiny, {name}")
    return fine


if __name__ == "__main__":
    suites = {"toy": toy, "fashion": fashion, "vit_tiny": vit_tiny}
    sys.exit(0 if suites[sys.argv[1]](*sys.argv[2:]) else 1)
