#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the package's tests: run_pytest.py BUILT_PACKAGE_DIR TRANSPIKE. Skips (77) without pytest or
numpy, or with a Python that is older than the extension module's limited API."""

import importlib.util
import os
import pathlib
import sys


def main() -> int:
    package, command = sys.argv[1:]
    for module in ("numpy", "pytest"):
        if importlib.util.find_spec(module) is None:
            print(f"skipped: no Python module {module}", file=sys.stderr)
            return 77
    if sys.version_info < (3, 11):
        print("skipped: the extension module needs Python 3.11", file=sys.stderr)
        return 77
    sys.path.insert(0, package)
    os.environ["PYTHONPATH"] = package
    os.environ["PATH"] = os.path.dirname(os.path.abspath(command)) + os.pathsep + os.environ["PATH"]
    import pytest

    here = pathlib.Path(__file__).resolve().parent
    return int(pytest.main(["-q", "-p", "no:cacheprovider", "-rs", str(here)]))


if __name__ == "__main__":
    sys.exit(main())
