# SPDX-License-Identifier: Apache-2.0
"""Vision Transformers as spiking networks: convert, run, compare.

>>> import transpike
>>> transpike.convert("vit.onnx", "photos/", out="vit.spike")
>>> transpike.Session("vit.spike").run("photos/").logits
>>> print(transpike.validate("vit.spike", "vit.onnx", "photos/"))

The package is the public C interface with numpy arrays; docs/python.md describes it.
"""

from __future__ import annotations

from . import _native
from ._convert import ConvertReport, Progress, convert
from ._data import Data, Preprocess
from ._error import Error
from ._network import build_info, inspect
from ._session import FloatSession, Port, Result, Session, Top
from ._torch import export_onnx
from ._validate import ValidateReport, validate

__version__ = _native.version()

__all__ = [
    "ConvertReport",
    "Data",
    "Error",
    "FloatSession",
    "Port",
    "Preprocess",
    "Progress",
    "Result",
    "Session",
    "Top",
    "ValidateReport",
    "__version__",
    "build_info",
    "convert",
    "export_onnx",
    "inspect",
    "validate",
]
