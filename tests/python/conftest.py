# SPDX-License-Identifier: Apache-2.0
"""What the tests share: pixels, and the sample network, converted once."""

import pathlib

import numpy as np
import pytest

import transpike

ROOT = pathlib.Path(__file__).resolve().parents[2]
PREPROCESS = {"mean": 0.286, "std": 0.353}


@pytest.fixture(scope="session")
def onnx():
    return ROOT / "samples" / "fashion_vit.onnx"


@pytest.fixture(scope="session")
def pixels():
    """uint8 [24, 28, 28] and labels: noise with a bright square, which moves with the label."""
    random = np.random.default_rng(7)
    images = random.integers(0, 60, (24, 28, 28), dtype=np.uint8)
    labels = np.arange(24) % 10
    for image, label in zip(images, labels, strict=True):
        image[6 : 8 + 2 * label, 6:20] = 200
    return images, labels


@pytest.fixture(scope="session")
def tensors(pixels):
    """The same, preprocessed: float32 [24, 1, 28, 28]."""
    scaled = pixels[0][:, None].astype(np.float32) / np.float32(255)
    return (scaled - np.float32(0.286)) / np.float32(0.353)


@pytest.fixture(scope="session")
def converted(onnx, pixels, tmp_path_factory):
    """Report, and the phases of its progress."""
    path = tmp_path_factory.mktemp("converted") / "fashion.spike"
    phases = []

    def progress(phase, done, total):
        phases.append((phase, done, total))

    report = transpike.convert(
        onnx, pixels, out=path, calib_images=4, steps=2, progress=progress, **PREPROCESS
    )
    return report, phases


@pytest.fixture(scope="session")
def spike(converted):
    return converted[0].path
