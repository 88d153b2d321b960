# SPDX-License-Identifier: Apache-2.0
"""``python -m transpike``: the command, as the wheel installed it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys


def command() -> str | None:
    """Path of the command of this very package; else the one of PATH, if there is any."""
    try:
        files = importlib.metadata.files("transpike") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "transpike" and file.parent.name == "bin":
            path = os.fspath(file.locate())
            if os.access(path, os.X_OK):
                return os.path.realpath(path)
    return shutil.which("transpike")


def main() -> int:
    path = command()
    if path is None:
        print("python -m transpike: the command is not installed", file=sys.stderr)
        return 2
    os.execv(path, ["transpike", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
