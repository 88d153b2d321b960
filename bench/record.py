#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a benchmark that prints rows `bench,case,variant,value,unit` and enters them in
bench/results.csv with the processor and the commit. A row replaces the one of the same bench,
case, variant, unit and processor, so that a change of speed is a diff to review.

    bench/record.py build/bench/bench_kernels --csv
"""
import csv
import pathlib
import platform
import subprocess
import sys

LEDGER = pathlib.Path(__file__).resolve().parent / "results.csv"
COLUMNS = ["bench", "case", "variant", "value", "unit", "cpu", "commit"]


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def commit():
    def git(*words):
        return subprocess.run(["git", "-C", str(LEDGER.parent), *words], check=True,
                              capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":(top,exclude)bench/results.csv")
    return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def read_ledger():
    if not LEDGER.exists():
        return []
    with LEDGER.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main():
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(__doc__)
        return
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        out = subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"record.py: {error}")
    rows = [dict(zip(COLUMNS, [*fields, processor(), commit()]))
            for fields in csv.reader(out.splitlines()) if fields]
    broken = [row for row in rows if len(row) != len(COLUMNS)]
    if broken or not rows:
        sys.exit(f"record.py: expected rows {','.join(COLUMNS[:5])}, found {broken[:1] or out!r}")

    def key(row):
        return tuple(row[name] for name in ("bench", "case", "variant", "unit", "cpu"))

    ledger = {key(row): row for row in read_ledger()}
    ledger.update({key(row): row for row in rows})
    with LEDGER.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(ledger.values())
    print(f"{len(rows)} rows entered in {LEDGER}")


if __name__ == "__main__":
    main()
