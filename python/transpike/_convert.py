# SPDX-License-Identifier: Apache-2.0
"""Conversion of a source network into a spiking one."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from . import _native, _network, _torch
from ._data import Data, Path, Preprocess, Samples
from ._error import usage_error

#: Called with a phase, how much of it is done, and how much there is. A true answer stops the work.
Progress: TypeAlias = Callable[[str, int, int], object]


@dataclass(frozen=True)
class ConvertReport:
    """What a conversion came to. The fields are those of ``transpike convert --json``.

    Attributes:
        path: the ``.spike`` that was written.
        seconds: wall time of all of it.
        met: the budget is met; True without a budget.
        partial: the search was stopped, and ``path`` holds its best so far.
        chosen: ids in ``pareto``, by mode; empty without a budget.
        pareto: candidates that nothing beats in both energy and KL, and the chosen ones.
        preprocess: of pixels, as the file keeps it.
        calibration_images: images that were calibrated on.
    """

    path: str
    seconds: float
    met: bool
    partial: bool
    chosen: dict[str, int]
    pareto: list[dict[str, Any]]
    preprocess: Preprocess
    calibration_images: int
    json: dict[str, Any] = field(repr=False)

    def save(self, path: Path) -> None:
        """Writes the report as JSON, schema ``transpike.convert/1``."""
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.json, file, indent=2)
            file.write("\n")


def _set_class_names(spike: object, samples: Samples, names: Sequence[str] | None) -> None:
    count = _native.spike_info(spike)["classes"]
    if names is None:
        found = [_native.dataset_class_name(samples.native, i) for i in range(count)]
        names = [name for name in found if name is not None]
        if len(names) != count:
            return
    _native.spike_set_class_names(spike, list(names))


def convert(
    model: Any,
    data: Data,
    *,
    out: Path,
    example: Any = None,
    opset: int = _torch.DEFAULT_OPSET,
    calib_images: int = 128,
    steps: int = 4,
    levels: int | None = None,
    coding: str = "differential",
    preset: str = "default",
    mirror: bool = True,
    merge: int | tuple[int, int] = 0,
    refine: float | tuple[float, float] = 0.0,
    max_loss: float | None = None,
    min_agreement: float | None = None,
    max_energy: float | None = None,
    time_budget: float | None = None,
    calib_cache: int = 2 << 30,
    keep_analog: Sequence[str] = (),
    classes: Sequence[str] | None = None,
    seed: int = 0,
    threads: int = 0,
    strict: bool = False,
    resize: int | None = None,
    crop: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    interpolation: str = "bilinear",
    progress: Progress | None = None,
) -> ConvertReport:
    """Calibrates a Vision Transformer on samples and writes it as a spiking network.

    Nothing is trained; labels serve ``max_loss`` alone. The GIL is released; Ctrl-C stops, and a
    search that was stopped after its first candidate still writes the best so far.

    Args:
        model: path of an ``.onnx``, or a ``torch.nn.Module``, which is exported first (`example`).
        data: a path as the command takes it (docs/data.md); images or ``(images, labels)``, uint8
            [N, H, W, C], which are preprocessed, or float32 [N, C, H, W], used as they are; or a
            ``DataLoader``, whose order is kept, and of which no more is read than is needed.
        out: the ``.spike`` to write.
        example: with a module: an input [1, C, H, W], or its shape.
        opset: with a module: of the export.
        calib_images: calibrate on the first so many of the (shuffled) samples.
        steps: T, 1 to 16.
        levels: n of a neuron's 2n thresholds, 1 to 64; None: 8, or what the search finds.
        coding: ``"differential"`` or ``"rate"``.
        preset: ``"default"`` or ``"ecmt"``.
        mirror: calibrate on mirror images too.
        merge: pairs of tokens that merge a layer in mode ``balanced`` (and in ``fast``).
        refine: share of the patches that these modes compute from step 2 on.
        max_loss: search for the least energy that loses no more points of top-1; adds the modes
            ``balanced`` and ``fast``.
        min_agreement: share of images with the source network's answer (0.94).
        max_energy: synaptic energy of ``balanced``; starts a search too.
        time_budget: of the search [s] (600).
        calib_cache: memory of the samples under way [bytes]; 0: any.
        keep_analog: sites or layers that do not spike.
        classes: class names to keep in the file; None: those of the folders.
        seed: of the shuffle; kept in the file.
        threads: 0: all cores.
        strict: a broken sample is an error; else broken ones are left out, and a warning says how
            many and why the first is.
        resize, crop, mean, std, interpolation: see `Preprocess`; kept in the file. Without `resize`
            and `crop`, or `mean` and `std`, these are guessed, with a warning.
        progress: called now and then.

    Raises:
        Error: with the node, file or setting that is in the way.
    """
    if coding not in ("differential", "rate"):
        raise usage_error(f"coding {coding!r}, expected 'differential' or 'rate'")
    if preset not in ("default", "ecmt"):
        raise usage_error(f"preset {preset!r}, expected 'default' or 'ecmt'")
    is_tuned = max_loss is not None or max_energy is not None
    if not is_tuned and (min_agreement is not None or time_budget is not None):
        raise usage_error("min_agreement and time_budget need max_loss or max_energy")
    pairs = (merge, 0) if isinstance(merge, int) else merge
    shares = refine if isinstance(refine, tuple) else (float(refine), 0.0)
    if is_tuned and (pairs != (0, 0) or shares != (0.0, 0.0)):
        raise usage_error("merge and refine: with max_loss or max_energy the search chooses them")
    budget = None
    if is_tuned:
        budget = (
            -1.0 if max_loss is None else float(max_loss),
            0.94 if min_agreement is None else float(min_agreement),
            0.0 if max_energy is None else float(max_energy),
            600.0 if time_budget is None else float(time_budget),
        )

    started = time.perf_counter()
    with _network.open_source(model, example, opset) as source:
        _native.model_check(source)
        samples = Samples(
            data,
            _network.image_shape(source),
            Preprocess(resize, crop, mean, std, interpolation),
            seed,
            calib_images,
            source,
            threads,
        )
        spike, search, stopped, n_broken, why_broken = _native.convert(
            source,
            samples.native,
            preprocess=samples.preprocess.to_native(samples.shape[0]),
            calibration_images=calib_images,
            steps=steps,
            levels=8 if levels is None else levels,
            are_levels_pinned=levels is not None,
            is_rate=coding == "rate" or preset == "ecmt",
            is_ecmt=preset == "ecmt",
            is_mirrored=mirror,
            cache_bytes=calib_cache,
            seed=seed,
            keep_analog=list(keep_analog),
            merged_pairs=pairs,
            refine_share=shares,
            threads=threads,
            is_strict=strict,
            budget=budget,
            progress=progress,
        )
    _set_class_names(spike, samples, classes)
    _native.spike_save(spike, os.fspath(out))
    if n_broken:
        warnings.warn(f"broken samples left out: {n_broken}; {why_broken}", stacklevel=2)
    if stopped is not None:
        raise stopped
    found: dict[str, Any] = (
        {"met": True, "chosen": {}, "pareto": []} if search is None else json.loads(search)
    )
    seconds = time.perf_counter() - started
    return ConvertReport(
        path=os.fspath(out),
        seconds=seconds,
        met=found["met"],
        partial=found.get("partial", False),
        chosen=found["chosen"],
        pareto=found["pareto"],
        preprocess=samples.preprocess,
        calibration_images=_native.spike_info(spike)["calibration_images"],
        json={"schema": "transpike.convert/1", "seconds": seconds, **found},
    )
