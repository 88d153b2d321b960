# SPDX-License-Identifier: Apache-2.0
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from conftest import PREPROCESS

import transpike


def test_report_tells_what_was_done(converted, tmp_path):
    report, phases = converted
    assert report.met and not report.partial and report.chosen == {} and report.pareto == []
    assert report.calibration_images == 4
    kept = report.preprocess
    assert (kept.resize, kept.crop) == (0, 0)
    assert (*kept.mean, *kept.std) == pytest.approx((0.286, 0.353))
    assert phases and all(0 <= done <= total for _, done, total in phases)
    report.save(tmp_path / "report.json")
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["schema"] == "transpike.convert/1" and saved["seconds"] == report.seconds


def test_arrays_and_files_give_the_same_network(converted, onnx, pixels, tmp_path):
    np.savez(tmp_path / "data.npz", images=pixels[0], labels=pixels[1])
    transpike.convert(
        onnx,
        tmp_path / "data.npz",
        out=tmp_path / "file.spike",
        calib_images=4,
        steps=2,
        threads=1,
        **PREPROCESS,
    )
    mine = transpike.inspect(converted[0].path)
    its = transpike.inspect(tmp_path / "file.spike")
    assert mine["sites"] == its["sites"] and mine["source_sha256"] == its["source_sha256"]
    x = np.zeros((2, 1, 28, 28), np.float32)
    a = transpike.Session(converted[0].path).run(x).logits
    b = transpike.Session(tmp_path / "file.spike").run(x).logits
    assert a.tobytes() == b.tobytes()


def test_a_loaders_first_batches_are_enough(onnx, tensors, tmp_path):
    taken = []

    def loader():
        for at in range(0, 24, 2):
            taken.append(at)
            yield tensors[at : at + 2], np.arange(2)

    report = transpike.convert(
        onnx, loader(), out=tmp_path / "a.spike", calib_images=3, steps=1, levels=2
    )
    assert taken == [0, 2] and report.calibration_images == 3


def test_a_true_answer_of_progress_stops(onnx, pixels, tmp_path):
    with pytest.raises(transpike.Error, match=r"stopped at node 3 of \d+ \[INTERRUPTED\]") as caught:
        transpike.convert(
            onnx,
            pixels,
            out=tmp_path / "a.spike",
            calib_images=2,
            progress=lambda phase, done, total: done == 3,
        )
    assert caught.value.status == "INTERRUPTED" and caught.value.exit_code == 62
    assert not (tmp_path / "a.spike").exists()


def test_an_exception_in_progress_comes_through(onnx, pixels, tmp_path):
    calls = []

    def progress(phase, done, total):
        calls.append(done)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        transpike.convert(
            onnx, pixels, out=tmp_path / "a.spike", calib_images=2, progress=progress
        )
    assert len(calls) == 1 and not (tmp_path / "a.spike").exists()


def test_a_stopped_search_leaves_its_best(onnx, pixels, tmp_path):
    path = tmp_path / "best.spike"
    phases = set()

    def progress(phase, done, total):
        phases.add(phase.split(", fold")[0])  # of one candidate
        if len(phases) > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transpike.convert(
            onnx,
            pixels,
            out=path,
            calib_images=4,
            steps=1,
            levels=2,
            max_loss=50,
            progress=progress,
        )
    assert transpike.Session(path).run(np.zeros((1, 1, 28, 28), np.float32)).steps[0] == 1


def test_other_threads_run_meanwhile(onnx, pixels, tmp_path):
    counted, is_done = [0], threading.Event()

    def count():
        while not is_done.wait(0.001):
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    seen = []
    try:
        transpike.convert(
            onnx,
            pixels,
            out=tmp_path / "a.spike",
            calib_images=2,
            steps=1,
            levels=2,
            progress=lambda *step: seen.append(counted[0]) and None,
        )
    finally:
        is_done.set()
        thread.join()
    assert seen[-1] > seen[0]


def test_ctrl_c_stops(onnx, tmp_path):
    program = textwrap.dedent(
        f"""
        import numpy, transpike
        images = numpy.zeros((64, 28, 28), numpy.uint8)
        images[:, 4:20] = 255
        print("ready", flush=True)
        transpike.convert({os.fspath(onnx)!r}, images, out={os.fspath(tmp_path / "a.spike")!r},
                          progress=lambda *step: print(step, flush=True))
        """
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "ready\n"
    child.stdout.readline()
    started = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=100)
    assert child.returncode != 0 and "KeyboardInterrupt" in errors, errors
    assert not (tmp_path / "a.spike").exists(), time.monotonic() - started


def test_class_names_are_kept(onnx, pixels, tmp_path):
    names = [f"class {i}" for i in range(10)]
    transpike.convert(
        onnx, pixels, out=tmp_path / "a.spike", calib_images=1, steps=1, levels=1, classes=names
    )
    net = transpike.Session(tmp_path / "a.spike")
    assert net.class_names == tuple(names)
    top = net.run(pixels[0][:1]).top(3)[0]
    assert [entry.name for entry in top] == [f"class {entry.label}" for entry in top]
    assert top[0].p >= top[1].p >= top[2].p


def test_preprocessing_is_guessed_aloud(onnx, tmp_path):
    images = np.zeros((2, 40, 50), np.uint8)
    images[:, 10:20] = 255
    with pytest.warns(UserWarning, match="resize=32, crop=28, mean="):
        report = transpike.convert(
            onnx, images, out=tmp_path / "a.spike", calib_images=1, steps=1, levels=1
        )
    assert (report.preprocess.resize, report.preprocess.crop) == (32, 28)


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"steps": 17}, "USAGE RANGE"),
        ({"coding": "morse"}, "USAGE"),
        ({"keep_analog": ["blocks.9.nowhere"]}, "RANGE"),
        ({"time_budget": 10}, "USAGE"),
        ({"merge": 4, "max_loss": 1}, "USAGE"),
        ({"mean": [1, 2]}, "USAGE"),
        ({"interpolation": "cubic"}, "USAGE"),
    ],
)
def test_refusals(onnx, pixels, tmp_path, settings, status):
    with pytest.raises(transpike.Error) as caught:
        transpike.convert(onnx, pixels, out=tmp_path / "a.spike", calib_images=1, **settings)
    assert caught.value.status in status.split()
    assert str(caught.value).endswith(f"[{caught.value.status}]")


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((3, 28, 28), np.int64),
        np.zeros((28, 28), np.float32),
        (np.zeros((3, 28, 28), np.uint8), [0, 1]),
        (np.zeros((3, 28, 28), np.uint8), [0, 1, -1]),
        (np.zeros((3, 28, 28), np.uint8), [0.5, 1, 2]),
        (np.zeros((0, 28, 28), np.uint8), None),
        np.zeros((3, 1, 14, 14), np.float32),
        np.full((3, 1, 28, 28), np.nan, np.float32),
        iter(()),
        "/nowhere/at/all",
    ],
)
def test_impossible_data_is_refused(onnx, tmp_path, data):
    with pytest.raises(transpike.Error):
        transpike.convert(onnx, data, out=tmp_path / "a.spike", calib_images=1, steps=1, levels=1)
    assert not (tmp_path / "a.spike").exists()
