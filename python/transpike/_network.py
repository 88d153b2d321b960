# SPDX-License-Identifier: Apache-2.0
"""Files: source networks and spiking networks."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy

from . import _native, _torch
from ._data import Path, Shape
from ._error import usage_error


def image_shape(model: object) -> Shape:
    """Channels, height and width of the one image input of a source network."""
    inputs = _native.model_ports(model)[0]
    name, _, dims = inputs[0]
    if len(inputs) != 1 or len(dims) != 4:
        raise usage_error(
            f"the source network takes {len(inputs)} inputs, of which {name!r} has "
            f"{len(dims)} dimensions; expected one, [N, C, H, W]"
        )
    return (dims[1], dims[2], dims[3])


@contextlib.contextmanager
def open_source(model: Any, example: Any, opset: int) -> Iterator[object]:
    """The source network of an .onnx file, or of a torch.nn.Module that is exported first."""
    if not _torch.is_module(model):
        yield _native.model_open(os.fspath(model))
        return
    with tempfile.TemporaryDirectory(prefix="transpike-") as folder:
        path = os.path.join(folder, "module.onnx")
        _torch.export_onnx(model, example, path, opset=opset)
        yield _native.model_open(path)


def _is_spike(path: str) -> bool:
    if path.endswith((".spike", ".onnx")):
        return path.endswith(".spike")
    with open(path, "rb") as file:
        return file.read(4) == b"PK\x03\x04"


def inspect(path: Path) -> dict[str, Any]:
    """What a ``.spike`` or an ``.onnx`` is: the JSON of ``transpike inspect`` (docs/cli.md).

    Raises:
        Error: a file that cannot be read; an .onnx that cannot be converted, with the node in the
            way.
    """
    name = os.fspath(path)
    text: str
    if _is_spike(name):
        text = _native.spike_describe(_native.spike_open(name))
    else:
        model = _native.model_open(name)
        _native.model_check(model)
        text = _native.model_describe(model)
    described: dict[str, Any] = json.loads(text)
    return described


def build_info() -> dict[str, Any]:
    """What this build and this machine are, for a report of a problem: the JSON of
    ``transpike doctor`` (docs/cli.md), and under ``"python"`` versions and places of the package."""
    found: dict[str, Any] = json.loads(_native.system_describe())
    found["python"] = {
        "version": platform.python_version(),
        "numpy": numpy.__version__,
        "extension": str(_native.__file__),
        "system": platform.platform(),
    }
    return found
