# SPDX-License-Identifier: Apache-2.0
"""check_allocations.py TRANSPIKE ALLOCATIONS [--long]: allocations that fail in turn, a few of each
scenario; with --long all of them."""
import os
import pathlib
import subprocess
import sys
import tempfile

from trust_common import TINY, environment, write_data, write_spike

TRANSPIKE, ALLOCATIONS = sys.argv[1:3]
MOST = "0" if "--long" in sys.argv[3:] else "8"

with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
    folder = pathlib.Path(name)
    (folder / "target").mkdir()
    data, _ = write_data(folder)
    spike = write_spike(TRANSPIKE, folder, data)
    sys.exit(subprocess.run([ALLOCATIONS, TINY, data, spike, folder / "target", MOST],
                            env=environment(OPENBLAS_NUM_THREADS=1)).returncode)
