# SPDX-License-Identifier: Apache-2.0
"""What the checks of this folder share: the tiny network, calls of the command, the lines that
tests/trust.sh gathers into its table (`TRUST|what|tried|survived|note`)."""
import os
import pathlib
import subprocess
import sys

try:
    import numpy as np
except ImportError:
    print("skipped: NumPy is missing")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
TINY = HERE / "tiny_vit.onnx"
CONVERT = ["--calib-images", "4", "--steps", "2", "--levels", "4"]


def environment(**more):
    return {**os.environ, "OMP_WAIT_POLICY": "passive", **{k: str(v) for k, v in more.items()}}


def call(*args, env=None, **options):
    """The finished process; its output as text."""
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, errors="replace",
                          env=env or environment(), **options)


def must(*args, **options):
    done = call(*args, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, args))}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def write_data(folder, images=24, seed=1):
    """Samples for the tiny network, with labels; and some as a batch for `run`."""
    r = np.random.RandomState(seed)
    x = (r.rand(images, 1, 8, 8) * 2 - 1).astype("<f4")
    np.savez(folder / "data.npz", images=x, labels=r.randint(0, 4, images))
    np.save(folder / "batch.npy", x[:7])
    return folder / "data.npz", folder / "batch.npy"


def write_spike(transpike, folder, data, *flags):
    must(transpike, "convert", TINY, "--data", data, *CONVERT, *flags, "-o", folder / "tiny.spike")
    return folder / "tiny.spike"


def fashion(transpike, folder, root, *flags):
    """The sample's spike graph from a few images, or None where the data are not installed."""
    listing = call("dpkg", "-L", "dataset-fashion-mnist").stdout.split()
    train = [p for p in listing if p.endswith("train-images-idx3-ubyte.gz")]
    if not train:
        return None
    must(transpike, "convert", root / "samples" / "fashion_vit.onnx", "--data", train[0],
         "--calib-images", "8", "--steps", "2", "--levels", "4", "--mean", "0.286", "--std", "0.353",
         *flags, "-o", folder / "fashion.spike")
    return folder / "fashion.spike"


class Row:
    """One line of the table: cases are counted, those that fail are printed."""

    failed = 0

    def __init__(self, what):
        self.what, self.tried, self.survived = what, 0, 0

    def case(self, survives, name):
        self.tried += 1
        self.survived += bool(survives)
        if not survives:
            print(f"wrong: {self.what}: {name}", flush=True)

    def end(self, note=""):
        Row.failed += self.tried - self.survived + (self.tried == 0)
        print(f"TRUST|{self.what}|{self.tried}|{self.survived}|{note}", flush=True)


def is_refusal(done, command):
    """One line on standard error with a status, the exit code of a refusal, nothing beside."""
    line = done.stderr
    return (2 <= done.returncode < 64 and line.count("\n") == 1 and not done.stdout and
            line.startswith(f"transpike {command}: ") and line.endswith("]\n"))
