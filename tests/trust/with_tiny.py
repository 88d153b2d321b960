# SPDX-License-Identifier: Apache-2.0
"""with_tiny.py TRANSPIKE PROGRAM [ARGUMENT...]: runs PROGRAM MODEL.onnx FILE.spike DATA FOLDER ARGUMENT…
on the tiny network, its spike graph, samples for it and an empty folder."""
import os
import pathlib
import subprocess
import sys
import tempfile

from trust_common import TINY, environment, write_data, write_spike

with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
    folder = pathlib.Path(name)
    (folder / "empty").mkdir()
    data, _ = write_data(folder)
    spike = write_spike(sys.argv[1], folder, data)
    sys.exit(subprocess.run([sys.argv[2], TINY, spike, data, folder / "empty", *sys.argv[3:]],
                            # what glibc's threads keep for themselves would count as in use
                            env=environment(GLIBC_TUNABLES="glibc.malloc.tcache_count=0")
                            ).returncode)
