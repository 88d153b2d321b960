# SPDX-License-Identifier: Apache-2.0
"""check_valgrind.py TRANSPIKE: one convert, run and validate of the tiny network under valgrind, which
knows AVX2 and no AVX-512: no invalid access, no use of what was never set, nothing lost."""
import os
import pathlib
import sys
import tempfile

from trust_common import CONVERT, TINY, Row, call, environment, write_data, write_spike

TRANSPIKE = sys.argv[1]
VALGRIND = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full",
            "--errors-for-leak-kinds=definite"]

with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
    folder = pathlib.Path(name)
    data, batch = write_data(folder)
    spike = write_spike(TRANSPIKE, folder, data)
    row = Row("valgrind")
    avx2 = ["--isa", "avx2"]
    for args in (["convert", TINY, "--data", data, *CONVERT, "--threads", "1", "-o",
                  folder / "again.spike"],
                 ["run", spike, batch, *avx2, "--threads", "1", "--dump-spikes", folder / "d.npz"],
                 ["validate", spike, "--onnx", TINY, "--data", data, "--limit", "3", *avx2,
                  "--threads", "1"]):
        done = call(*VALGRIND, TRANSPIKE, *args,
                    env=environment(OPENBLAS_NUM_THREADS=1, OPENBLAS_CORETYPE="Haswell"))
        row.case(done.returncode == 0, f"{args[0]}: exit {done.returncode}: {done.stderr[:3000]}")
    row.end()
sys.exit(1 if Row.failed else 0)
