#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`run --explain`: patches are coloured exactly where the dump's decisions say that they merged, and
marked where they say that they are refined.

usage: check_explain.py TRANSPIKE SPIKE_TOOL
"""
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from PIL import Image
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

TOOL, SPIKE_TOOL = sys.argv[1:3]
GRID = 2      # patches a side of the toy network's image


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True)


def must(*words):
    done = run(*words)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


def check(folder, number, seed):
    """One toy network, in which number % 3 pairs merge, and one image."""
    spike, image, picture = folder / "toy.spike", folder / "toy.npy", folder / "toy.png"
    dump = folder / "toy.npz"
    pixels = np.random.default_rng(seed).uniform(-0.5, 0.5, (1, 1, 8, 8)).astype(np.float32)
    np.save(image, pixels)
    must(SPIKE_TOOL, "write", number, spike)
    must(TOOL, "run", spike, image, "--mode", "balanced", "--explain", picture,
         "--dump-spikes", dump)
    with np.load(dump) as members:
        maps = [members[name][0] for name in sorted(members) if name.startswith("decisions/merge")]
    assert maps, "no merge in the dump"
    tokens = maps[0].size
    special = tokens - GRID * GRID
    drawn = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    side = drawn.shape[1]
    assert drawn.shape[0] > side, "no bar below the image"
    place = maps[-1]
    for patch in range(GRID * GRID):
        top, left = (side * (patch // GRID) // GRID, side * (patch % GRID) // GRID)
        inside = drawn[top + 8:top + side // GRID - 8, left + 8:left + side // GRID - 8]
        is_coloured = bool((inside.max(axis=2) - inside.min(axis=2)).max() > 8)
        has_left = place[special + patch] != special + patch
        assert is_coloured == has_left, f"toy {number}, patch {patch}: {place}"
    for row in range(GRID):
        for column in range(1, GRID):
            here, before = (place[special + row * GRID + column - k] for k in (0, 1))
            y, x = side * row // GRID + side // GRID // 2, side * column // GRID
            is_line = (drawn[y, x] == 255).all()
            assert is_line == (here != before), f"toy {number}, row {row}: line at {x}"
    again = picture.read_bytes()
    must(TOOL, "run", spike, image, "--mode", "balanced", "--explain", picture, "--threads", 1,
         "--isa", "scalar")
    assert picture.read_bytes() == again, "the picture depends on threads or instruction set"


def check_refined(folder, number, seed):
    """One toy network that merges nothing and refines some tokens: red in the middle of these."""
    spike, image, picture = folder / "toy.spike", folder / "toy.npy", folder / "toy.png"
    dump = folder / "toy.npz"
    pixels = np.random.default_rng(seed).uniform(-0.5, 0.5, (1, 1, 8, 8)).astype(np.float32)
    np.save(image, pixels)
    must(SPIKE_TOOL, "write", number, spike)
    must(TOOL, "run", spike, image, "--mode", "balanced", "--policy", "none", "--explain", picture,
         "--dump-spikes", dump)
    with np.load(dump) as members:
        refined = members["decisions/refine"][0][-GRID * GRID:]
    assert 0 < refined.sum() < GRID * GRID
    drawn = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    side = drawn.shape[1]
    for patch in range(GRID * GRID):
        red, green, _ = drawn[side * (2 * (patch // GRID) + 1) // (2 * GRID),
                              side * (2 * (patch % GRID) + 1) // (2 * GRID)]
        assert (red > green + 100) == bool(refined[patch]), f"toy {number}, patch {patch}"


def check_refusals(folder):
    spike, image, picture = folder / "toy.spike", folder / "two.npy", folder / "none.png"
    np.save(image, np.zeros((2, 1, 8, 8), np.float32))
    for words, wanted in ((["--mode", "balanced"], "[RANGE]"), ([], "[RANGE]")):
        done = run(TOOL, "run", spike, image, *words, "--explain", picture)
        assert done.returncode and done.stderr.strip().endswith(wanted), done.stderr
    np.save(image, np.zeros((1, 1, 8, 8), np.float32))
    done = run(TOOL, "run", spike, image, "--explain", picture)
    assert done.returncode and done.stderr.strip().endswith("[UNSUPPORTED]"), done.stderr
    assert not picture.exists()
    done = run(TOOL, "run", spike, image, "--mode", "balanced", "--explain", folder / "no" / "x.png")
    assert done.returncode and done.stderr.strip().endswith("[IO]"), done.stderr


with tempfile.TemporaryDirectory() as name:
    for number in (1, 2, 4, 5, 7):
        for seed in range(3):
            check(pathlib.Path(name), number, seed)
    for number in (72, 75):
        check_refined(pathlib.Path(name), number, 1)
    must(SPIKE_TOOL, "write", 1, pathlib.Path(name) / "toy.spike")
    check_refusals(pathlib.Path(name))
