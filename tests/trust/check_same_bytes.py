# SPDX-License-Identifier: Apache-2.0
"""check_same_bytes.py TRANSPIKE [--long] [OTHER_TRANSPIKE...]: the promises of docs/determinism.md. `run`:
logits and dumped spikes over threads, batch sizes, instruction sets, kinds of CPU that the BLAS takes
for granted, runs, and (OTHER_TRANSPIKE) compilers and optimisation. `convert` and the source
network's logits: over threads, batch sizes and runs on one kind of CPU."""
import hashlib
import os
import pathlib
import sys
import tempfile

from trust_common import (CONVERT, HERE, TINY, Row, call, environment, fashion, must, np, write_data,
                          write_spike)

TRANSPIKE = sys.argv[1]
IS_LONG = "--long" in sys.argv
OTHERS = [a for a in sys.argv[2:] if a != "--long"]
CORES = ["Prescott", "Haswell", "SkylakeX"]


def digests(*paths):
    return [hashlib.sha256(p.read_bytes()).hexdigest() for p in paths]


def run(transpike, spike, batch, folder, *flags, env=None):
    """What a run writes, as digests; None where the machine lacks the instruction set."""
    out, dump = folder / "out.npy", folder / "dump.npz"
    done = call(transpike, "run", spike, batch, "--output", out, "--dump-spikes", dump, *flags,
                env=env)
    if done.returncode == 30 and "--isa" in flags:
        return None
    return digests(out, dump) if done.returncode == 0 else done.stderr


def check_run(name, spike, batch, folder, modes):
    row = Row(f"run, {name}: logits and spikes have the same bytes")
    for mode in modes:
        flags = ["--mode", mode]
        first = run(TRANSPIKE, spike, batch, folder, *flags, "--threads", 1)
        row.case(isinstance(first, list), f"{mode}: {first}")
        cases = [(f"threads {n}", ["--threads", n], None) for n in (1, 2, 3, 7, 16)]
        cases += [(f"batch {n}", ["--batch", n], None) for n in (1, 2, 5, 64)]
        cases += [(f"isa {isa}", ["--isa", isa], None)
                  for isa in ("scalar", "avx2", "avx512vnni", "neon")]
        cases += [(f"OpenBLAS as on {core}", [], environment(OPENBLAS_CORETYPE=core))
                  for core in CORES]
        for what, more, env in cases:
            found = run(TRANSPIKE, spike, batch, folder, *flags, *more, env=env)
            if found is not None:
                row.case(found == first, f"{mode}, {what}")
        for other in OTHERS:
            for isa in ("scalar", "avx2", "avx512vnni"):
                found = run(other, spike, batch, folder, *flags, "--isa", isa)
                if found is not None:
                    row.case(found == first, f"{mode}, {other}, isa {isa}: {found}")
    row.end(f"{len(OTHERS)} other builds")


def check_convert(data, batch, folder):
    row = Row("convert and the float network: the same bytes")
    out = folder / "again.spike"
    first, ann = None, None
    for threads in (1, 2, 3, 7, 16) if IS_LONG else (1, 3):
        must(TRANSPIKE, "convert", TINY, "--data", data, *CONVERT, "--threads", threads, "-o", out)
        found = digests(out)
        first = first or found
        row.case(found == first, f"convert, {threads} threads")
        for n in (1, 4):
            must(TRANSPIKE, "run", TINY, batch, "--output", folder / "ann.npy", "--threads", threads,
                 "--batch", n)
            found = digests(folder / "ann.npy")
            ann = ann or found
            row.case(found == ann, f"float network, {threads} threads, batch {n}")
    row.end()


with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
    folder = pathlib.Path(name)
    data, batch = write_data(folder)
    spike = write_spike(TRANSPIKE, folder, data, "--merge", "1")
    check_run("tiny network", spike, batch, folder, ["exact", "balanced"] if IS_LONG else ["balanced"])
    spike = write_spike(TRANSPIKE, folder, data, "--keep-analog", "blocks.0")
    check_run("tiny network with analog sites", spike, batch, folder, ["exact"])
    check_convert(data, batch, folder)
    if IS_LONG:
        sample = fashion(TRANSPIKE, folder, HERE.parent.parent)
        images = np.random.RandomState(3).rand(9, 1, 28, 28).astype("<f4")
        np.save(folder / "images.npy", images)
        if sample:
            check_run("Fashion-MNIST sample", sample, folder / "images.npy", folder, ["exact"])
sys.exit(1 if Row.failed else 0)
