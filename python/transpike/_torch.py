# SPDX-License-Identifier: Apache-2.0
"""Export of PyTorch modules. PyTorch itself is imported by a call, never by the package."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

from ._error import usage_error

DEFAULT_OPSET = 17


def is_module(model: object) -> bool:
    """Is it a torch.nn.Module? Says so without importing PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def export_onnx(
    module: Any,
    example: Any,
    path: str | os.PathLike[str],
    *,
    opset: int = DEFAULT_OPSET,
    input_name: str = "image",
    output_name: str = "logits",
) -> None:
    """Writes a ``torch.nn.Module`` as ONNX, in evaluation mode, for a batch of any size.

    Args:
        module: the network; its training flags are as before afterwards.
        example: an input of it, a tensor [1, C, H, W]; or the shape of one.
        path: file to write.
        opset: of ONNX, 9 to 23.
        input_name: of the only input.
        output_name: of the only output.
    """
    import torch

    if example is None:
        raise usage_error("a torch.nn.Module needs example=, an input [1, C, H, W] or its shape")
    if not isinstance(example, torch.Tensor):
        example = torch.zeros(tuple(example))
    was_training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (example,),
                os.fspath(path),
                dynamo=False,
                opset_version=opset,
                input_names=[input_name],
                output_names=[output_name],
                dynamic_axes={input_name: {0: "batch"}, output_name: {0: "batch"}},
            )
    finally:
        for part, training in was_training.items():
            part.training = training
