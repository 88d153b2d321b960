# SPDX-License-Identifier: Apache-2.0
"""check_writes.py TRANSPIKE FAILING_WRITE.so [--long]: what is written is the old file or the whole new
one: on a disk that fills up, with short writes, in a folder without permission, and when the program
is killed or interrupted at a random moment (10 times, with --long 200). FAILING_WRITE.so may be ''."""
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from trust_common import (CONVERT, TINY, Row, call, environment, is_refusal, must, write_data,
                          write_spike)

TRANSPIKE, PRELOAD = sys.argv[1:3]
IS_LONG = "--long" in sys.argv[3:]
N_KILLS = 200 if IS_LONG else 10
SEED = 12
OLD = b""  # what was there before: another spike graph, for convert replaces nothing else
rng = random.Random(SEED)


def jobs(folder, data, batch, spike):
    """Command lines that write `out`, by name."""
    out = folder / "target" / "out"
    return out, {
        "convert": ["convert", TINY, "--data", data, *CONVERT, "-o", out],
        "run --output": ["run", spike, batch, "--output", out],
        "run --dump-spikes": ["run", spike, batch, "--dump-spikes", out],
        "run --json": ["run", spike, batch, "--json", out],
    }


def only(out):
    """Nothing but `out` lies in its folder."""
    return os.listdir(out.parent) == [out.name]


def full_disk(out, commands):
    row = Row("full disk: error, the old file stays")
    for name, args in commands.items():
        must(TRANSPIKE, *args)
        size = out.stat().st_size
        rooms = {0, 1, size // 2, size - 1} | {rng.randrange(size) for _ in range(50 * IS_LONG)}
        for room in sorted(rooms):
            out.write_bytes(OLD)
            done = call(TRANSPIKE, *args, env=environment(LD_PRELOAD=PRELOAD, TRUST_WRITE_ROOM=room))
            row.case(is_refusal(done, args[0]) and out.read_bytes() == OLD and only(out) and
                     "[IO]" in done.stderr, f"{name}, room for {room} of {size}: {done.stderr}")
    row.end()


def short_writes(out, commands):
    row = Row("short writes: the whole new file")
    for name, args in commands.items():
        if name == "run --json":
            continue  # it tells times
        must(TRANSPIKE, *args)
        whole = out.read_bytes()
        for part in (7, 4096):
            out.write_bytes(OLD)
            done = call(TRANSPIKE, *args, env=environment(LD_PRELOAD=PRELOAD, TRUST_WRITE_PART=part))
            row.case(done.returncode == 0 and out.read_bytes() == whole and only(out),
                     f"{name}, {part} bytes at a time: {done.stderr}")
    row.end()


def read_only(out, commands):
    """As a user who may not write there; root drops its rights first."""
    row = Row("read-only folder: error, nothing changes")
    out.write_bytes(OLD)
    out.parent.chmod(0o555)
    drop = {"preexec_fn": lambda: os.setuid(65534)} if os.geteuid() == 0 else {}
    for name, args in commands.items():
        done = call(TRANSPIKE, *args, **drop)
        row.case(is_refusal(done, args[0]) and "[IO]" in done.stderr and out.read_bytes() == OLD and
                 only(out), f"{name}: exit {done.returncode}: {done.stderr}")
    out.parent.chmod(0o755)
    row.end()


def stopped(args, number, after):
    process = subprocess.Popen([str(a) for a in [TRANSPIKE, *args]], env=environment(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(after)
    process.send_signal(number)
    error = process.communicate()[1]
    return process.returncode, error


def kill(out, commands):
    row = Row("kill -9 at a random moment: the old file or the whole new one")
    names = ["convert", "run --output", "run --dump-spikes"]
    whole, seconds, new = {}, {}, 0
    for name in names:
        start = time.monotonic()
        must(TRANSPIKE, *commands[name])
        seconds[name], whole[name] = time.monotonic() - start, out.read_bytes()
    for i in range(N_KILLS):
        name = names[i % len(names)]
        out.write_bytes(OLD)
        stopped(commands[name], signal.SIGKILL, rng.uniform(0, 1.3) * seconds[name])
        found = out.read_bytes()
        new += found == whole[name]
        row.case(found in (OLD, whole[name]), f"kill {i}, {name}: {len(found)} bytes")
        for path in out.parent.iterdir():  # what the killed one was writing
            if path != out:
                path.unlink()
    row.end(f"{new} times the new one")


def interrupt(out, data):
    """Ctrl-C while a conversion searches: the best so far, or a refusal and the old file."""
    row = Row("Ctrl-C during convert: the best so far, or the old file and [INTERRUPTED]")
    args = ["convert", TINY, "--data", data, "--calib-images", "8", "--max-loss", "50",
            "--time-budget", "20s", "-o", out]
    best = 0
    for i in range(20 if IS_LONG else 1):
        out.write_bytes(OLD)
        code, error = stopped(args, signal.SIGINT, rng.uniform(0.1, 3))
        if code == 62 and "holds the best so far" in error or code == 0:
            best += 1
            fine = call(TRANSPIKE, "inspect", out).returncode == 0
        else:
            # before the handler is there the signal ends the program, as any other
            fine = out.read_bytes() == OLD and (code == -signal.SIGINT or
                                                code == 62 and error.endswith("[INTERRUPTED]\n"))
        row.case(fine and only(out), f"{i}: exit {code}: {error}")
    row.end(f"{best} times the best so far")


with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
    folder = pathlib.Path(name)
    folder.chmod(0o755)
    (folder / "target").mkdir()
    data, batch = write_data(folder)
    OLD = write_spike(TRANSPIKE, folder, data, "--merge", "1").read_bytes()
    spike = write_spike(TRANSPIKE, folder, data)
    out, commands = jobs(folder, data, batch, spike)
    if PRELOAD:
        full_disk(out, commands)
        short_writes(out, commands)
    read_only(out, commands)
    kill(out, commands)
    interrupt(out, data)
sys.exit(1 if Row.failed else 0)
