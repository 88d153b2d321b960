# SPDX-License-Identifier: Apache-2.0
"""check_damage.py TRANSPIKE DAMAGE [--long]: damaged spike graphs, opened by the library (program
`damage`) and, for a sample of them, by the command. The short form takes every 40th byte of the tiny
network's; the long one every byte of it and of the Fashion-MNIST sample's."""
import pathlib
import random
import resource
import subprocess
import sys
import tempfile

from trust_common import (HERE, TINY, Row, call, environment, fashion, is_refusal, must, write_data,
                          write_spike)

TRANSPIKE, DAMAGE = sys.argv[1:3]
IS_LONG = "--long" in sys.argv[3:]
SEED = 11
MEMORY = 2 << 30  # [bytes] of address space that the command may have


def in_process(spike, stride, folder):
    done = subprocess.run([DAMAGE, spike, str(SEED), str(stride)],
                          env=environment(TMPDIR=folder))
    Row.failed += done.returncode != 0


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def by_command(spike, data, batch, folder):
    """The same answer from every command that opens a spike graph, and no output left behind."""
    healthy = spike.read_bytes()
    rng = random.Random(SEED)
    path, out = folder / "case.spike", folder / "out.npy"
    must(TRANSPIKE, "run", spike, batch, "--output", out)
    logits = out.read_bytes()
    out.unlink()
    row = Row("damaged files given to inspect, run and validate")
    for i in range(60 if IS_LONG else 8):
        changed = bytearray(healthy)
        if i % 4 == 3:
            del changed[rng.randrange(len(changed)):]
        else:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        options = {"preexec_fn": limit} if not sanitized else {}
        for command, args in (("inspect", []), ("run", [batch, "--output", out]),
                              ("validate", ["--onnx", TINY, "--data", data, "--json", out])):
            done = call(TRANSPIKE, command, path, *args, **options)
            if done.returncode == 0:
                fine = command != "run" or out.read_bytes() == logits
            else:
                fine = is_refusal(done, command) and not out.exists()
            row.case(fine, f"seed {SEED}, case {i}: {command}: exit {done.returncode}: {done.stderr}")
            out.unlink(missing_ok=True)
    row.end()


sanitized = b"__asan_init" in pathlib.Path(TRANSPIKE).read_bytes()
with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    data, batch = write_data(folder)
    spike = write_spike(TRANSPIKE, folder, data)
    in_process(spike, 1 if IS_LONG else 40, folder)
    by_command(spike, data, batch, folder)
    if IS_LONG:
        sample = fashion(TRANSPIKE, folder, HERE.parent.parent)
        if sample:
            print(f"{sample.name}: {sample.stat().st_size} bytes", flush=True)
            in_process(sample, 1, folder)
sys.exit(1 if Row.failed else 0)
