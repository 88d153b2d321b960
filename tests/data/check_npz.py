# SPDX-License-Identifier: Apache-2.0
"""numpy.load opens what the .npz writer writes, twice the same bytes; errors leave no file.

usage: check_npz.py DATA_TOOL
"""
import os
import subprocess
import sys
import tempfile
import time
import zipfile

try:
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

tool = sys.argv[1]
raw = bytes(range(1, 49))
with tempfile.TemporaryDirectory() as folder:
    first, second = os.path.join(folder, "a.npz"), os.path.join(folder, "b.npz")
    for name, zone, locale in ((first, "UTC", "C"), (second, "Pacific/Auckland", "C.UTF-8")):
        subprocess.run([tool, "npz", name], check=True,
                       env=dict(os.environ, TZ=zone, LC_ALL=locale))
        time.sleep(1.1)
    with open(first, "rb") as a, open(second, "rb") as b:
        assert a.read() == b.read(), "two runs differ"
    with zipfile.ZipFile(first) as archive:
        assert archive.testzip() is None
        assert all(i.compress_type == zipfile.ZIP_STORED for i in archive.infolist())
    with np.load(first) as arrays:
        for kind in "f4 f8 f2 i1 u1 i2 u2 i4 u4 i8 u8".split():
            array = arrays["blocks.0\u00e9/" + kind]
            expected = np.frombuffer(raw, np.dtype("<" + kind), 6).reshape(2, 3)
            assert array.dtype == expected.dtype and array.tobytes() == expected.tobytes(), kind
        assert arrays["blocks.0\u00e9/b1"].tolist() == [[True, False, True], [False, False, True]]
        for i, shape in enumerate([(), (6,), (2, 0), (1, 1, 1, 2, 1, 1, 1, 3)]):
            assert arrays[f"shape{i}"].shape == shape, i
    if os.path.exists("/dev/full"):
        run = subprocess.run([tool, "npz", "/dev/full"], capture_output=True, text=True)
        assert run.returncode == 10 and "/dev/full" in run.stderr, run
        assert run.stderr.endswith("[IO]\n"), run
    run = subprocess.run([tool, "npz", os.path.join(folder, "absent", "a.npz")],
                         capture_output=True, text=True)
    assert run.returncode == 10, run
    assert sorted(os.listdir(folder)) == ["a.npz", "b.npz"], os.listdir(folder)
print("npz: 16 members equal, two runs equal")
