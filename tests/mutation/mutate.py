# SPDX-License-Identifier: Apache-2.0
"""mutate.py --build FOLDER [--check] [--only N,N,...]

Breaks the code in one place at a time (mutants.txt), each in a copy of the tree below FOLDER, builds
it and runs the Meson suites of the folder that was broken. A break that no test sees survives; at
least 48 of 50 must be caught. A break that does not compile is an error of the list.
--check only sees that every line of the list still fits the code once."""
import argparse
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SUITES = {"calib": ["calib"], "convert": ["convert"], "runtime": ["runtime_spike", "runtime_ann"],
          "core": ["spikefile", "runtime_spike", "core"]}
MOST_SECONDS = 600
MUST_CATCH = 48


def read_list():
    for number, line in enumerate((ROOT / "tests/mutation/mutants.txt").read_text().split("\n"), 1):
        if line and not line.startswith("#"):
            yield (number, *line.split(" :: "))


def unfit(mutants):
    """Lines whose text does not stand in the file exactly once."""
    for number, file, old, new in mutants:
        found = (ROOT / file).read_text(encoding="utf-8").count(old)
        if found != 1 or old == new:
            yield f"mutants.txt:{number}: {file}: {old!r} stands there {found} times"


def command(*args, folder):
    return subprocess.run(args, cwd=folder, capture_output=True, text=True, errors="replace",
                          timeout=MOST_SECONDS)


def prepare(build):
    source = build / "source"
    shutil.rmtree(source, ignore_errors=True)
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True,
                           check=True).stdout.decode().split("\0")
    for name in filter(None, files):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    if not (build / "build" / "build.ninja").exists():
        subprocess.run(["/usr/bin/meson", "setup", str(build / "build"), str(source),
                        "--buildtype=release", "-Dwerror=false"], check=True,
                       capture_output=True)
    return source


def judge(build, file):
    """'caught by a test', 'survived', or 'not built'."""
    suites = [x for s in SUITES[file.split("/")[0]] for x in ("--suite", s)]
    try:
        done = command("/usr/bin/meson", "test", "-C", str(build / "build"), *suites, "--no-suite",
                       "end_to_end", "--maxfail", "1", folder=ROOT)
    except subprocess.TimeoutExpired:
        return "caught: no end"
    if done.returncode == 0:
        return "survived"
    failed = [line for line in done.stdout.split("\n") if " FAIL" in line or "TIMEOUT" in line]
    if not failed:
        return "not built: " + (done.stdout + done.stderr)[-600:]
    return "caught: " + " ".join(failed[0].split())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    mutants = list(read_list())
    wrong = list(unfit(mutants))
    print("\n".join(wrong))
    if args.check or wrong:
        print(f"{len(mutants)} breaks, {len(wrong)} do not fit")
        return 1 if wrong or len(mutants) < 50 else 0
    picked = {int(n) for n in args.only.split(",") if n}
    source = prepare(args.build.resolve())
    caught, tried = 0, 0
    if judge(args.build, "core/") != "survived" or judge(args.build, "calib/") != "survived":
        sys.exit("the tests fail without any break")
    for index, (number, file, old, new) in enumerate(mutants, 1):
        if picked and index not in picked:
            continue
        path, start = source / file, time.monotonic()
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(old, new), encoding="utf-8")
        verdict = judge(args.build, file)
        path.write_text(text, encoding="utf-8")
        tried += 1
        caught += verdict.startswith("caught")
        print(f"{index}: {file}: {old} -> {new}: {verdict} ({time.monotonic() - start:.0f} s)",
              flush=True)
    print(f"TRUST|breaks of the code that a test sees|{tried}|{caught}|")
    return 0 if caught >= tried - (50 - MUST_CATCH) else 1


if __name__ == "__main__":
    sys.exit(main())
