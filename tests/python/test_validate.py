# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest

import transpike


def test_report_and_its_json(spike, onnx, pixels, tmp_path):
    phases = []
    report = transpike.validate(
        spike,
        onnx,
        pixels,
        skip=4,
        limit=10,
        timing=False,
        site_rates=False,
        progress=lambda *step: phases.append(step) and None,
    )
    assert report.images == 10 and phases
    assert [line["t"] for line in report.steps] == [1, 2]
    assert report.json["calibration_overlap"] == 0 and report.layers == []
    assert "10 images" in str(report) and "T = 2" in str(report)
    report.save(tmp_path / "v.json")
    assert json.loads((tmp_path / "v.json").read_text()) == report.json


def test_html_report(spike, onnx, pixels, tmp_path):
    report = transpike.validate(spike, onnx, pixels, skip=4, limit=4, timing=False)
    assert len(report.site_rates[0]["rate"]) == 2
    try:
        report.save(tmp_path / "report.html")
    except transpike.Error as error:
        assert error.status == "UNSUPPORTED"
        pytest.skip(str(error))
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert "skip=4, limit=4" in page and "data:image/" in page


def test_arrays_and_files_give_the_same(spike, onnx, pixels, tmp_path):
    np.savez(tmp_path / "data.npz", images=pixels[0], labels=pixels[1])
    a = transpike.validate(spike, onnx, pixels, timing=False)
    b = transpike.validate(spike, onnx, tmp_path / "data.npz", timing=False)
    assert a.json["snn"] == b.json["snn"] and a.ann["top1"] == b.ann["top1"]
    assert a.json["calibration_overlap"] == 4


def test_without_labels_there_is_no_accuracy(spike, onnx, tensors):
    report = transpike.validate(spike, onnx, tensors, limit=4, timing=False)
    assert report.ann["top1"] is None and "unknown" in str(report)
    assert report.steps[0]["agreement"] >= 0


def test_another_source_is_refused(spike, onnx, pixels):
    other = onnx.parent / "fashion_vit_dynamo.onnx"
    with pytest.raises(transpike.Error) as caught:
        transpike.validate(spike, other, pixels)
    assert caught.value.status == "MISMATCH"
    report = transpike.validate(spike, other, pixels, force=True, limit=4, timing=False)
    assert report.images == 4


def test_an_exception_in_progress_comes_through(spike, onnx, pixels):
    def progress(phase, done, total):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        transpike.validate(spike, onnx, pixels, progress=progress)


def test_labels_outside_the_classes_are_refused(spike, onnx, pixels):
    with pytest.raises(transpike.Error) as caught:
        transpike.validate(spike, onnx, (pixels[0], np.full(24, 11)), timing=False)
    assert caught.value.status == "RANGE"


def test_broken_images_are_left_out_and_told(spike, onnx, pixels, tmp_path):
    image = pytest.importorskip("PIL.Image")
    for i in range(6):
        image.fromarray(pixels[0][i].squeeze()).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes(b"no image")
    settings = dict(mean=0.5, std=0.5)
    with pytest.warns(UserWarning, match="broken samples left out: 1; 3.png"):
        report = transpike.validate(spike, onnx, tmp_path, timing=False, site_rates=False)
    assert report.images == 5 and report.skipped == {"images": 1, "names": ["3.png"]}
    with pytest.warns(UserWarning, match="broken samples left out: 1; .*3.png"):
        transpike.convert(
            onnx, tmp_path, out=tmp_path / "b.spike", steps=1, mirror=False, **settings
        )
    for work in (
        lambda: transpike.validate(spike, onnx, tmp_path, strict=True, timing=False),
        lambda: transpike.convert(onnx, tmp_path, out=tmp_path / "c", strict=True, **settings),
        lambda: transpike.Session(spike).run(tmp_path),
    ):
        with pytest.raises(transpike.Error, match="3.png"):
            work()
