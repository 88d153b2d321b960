# SPDX-License-Identifier: Apache-2.0
"""Adds up the results of meson test runs; the last line is `N passed, N failed`."""
import json
import pathlib
import sys


def main():
    passed, failed, skipped = 0, 0, []
    for build in sys.argv[1:]:
        log = pathlib.Path(build) / "meson-logs" / "testlog.json"
        if not log.exists():
            print(f"{log}: no such file: the tests did not run")
            failed += 1
            continue
        for line in log.read_text().splitlines():
            test = json.loads(line)
            if test["result"] in ("OK", "EXPECTEDFAIL"):
                passed += 1
            elif test["result"] == "SKIP":
                skipped.append((build, test))
            else:
                failed += 1
                print(f"failed: {build}: {test['name']} ({test['result']})")
    for build, test in skipped:
        words = (test.get("stdout", "") + test.get("stderr", "")).strip().splitlines()
        print(f"skipped: {build}: {test['name']}: {words[-1] if words else 'no reason given'}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
