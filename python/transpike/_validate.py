# SPDX-License-Identifier: Apache-2.0
"""Comparison of a spiking network with its source."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import _native, _network, _torch
from ._convert import Progress
from ._data import Data, Path, Preprocess, Samples
from ._error import usage_error
from ._session import ISAS, POLICIES, index_of


@dataclass(frozen=True)
class _Opened:
    """What an HTML report needs beside the figures."""

    spike: object
    samples: Samples
    text: str
    spike_path: str
    source_path: str | None
    call: str
    threads: int


class ValidateReport:
    """What was lost. ``json`` is the whole of ``transpike validate --json`` (docs/cli.md)."""

    def __init__(self, opened: _Opened) -> None:
        self._opened = opened
        self.json: dict[str, Any] = json.loads(opened.text)

    @property
    def images(self) -> int:
        """Images that were compared."""
        return int(self.json["images"])

    @property
    def skipped(self) -> dict[str, Any]:
        """Broken samples that were left out: ``images``, how many; ``names`` of the first ones."""
        return dict(self.json["skipped"])

    @property
    def ann(self) -> dict[str, Any]:
        """Of the source network: ``top1``, ``top5``, ``ms_per_image``."""
        return dict(self.json["ann"])

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Of mode ``exact`` after every step."""
        return list(self.json["snn"]["steps"])

    @property
    def adaptive(self) -> list[dict[str, Any]]:
        """Of every other mode."""
        return list(self.json["snn"]["adaptive"])

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Of every site, the most harmful first; empty without ``layers=True``."""
        return list(self.json["layers"])

    @property
    def site_rates(self) -> list[dict[str, Any]]:
        """Firing rate and SNR [dB] of every site by step; empty with ``site_rates=False``."""
        return list(self.json.get("site_rates", []))

    def save(self, path: Path) -> None:
        """Writes the report: one HTML file with charts and images where `path` ends in ``.html``, else
        JSON, schema ``transpike.validate/1``. Arrays that were given as data must not have changed
        since.

        Raises:
            Error: ``UNSUPPORTED`` where the library was built without Chart.js.
        """
        name = os.fspath(path)
        if not name.endswith((".html", ".htm")):
            with open(name, "w", encoding="utf-8") as file:
                json.dump(self.json, file, indent=2)
                file.write("\n")
            return
        opened = self._opened
        _native.report_write(
            name,
            opened.spike,
            opened.samples.native,
            opened.text,
            f"{os.path.basename(opened.spike_path)} beside its source network",
            opened.spike_path,
            opened.source_path,
            opened.call,
            opened.threads,
        )

    def __str__(self) -> str:
        top1 = self.ann["top1"]
        lines = [f"{self.images} images; source network: top-1 {_share(top1)}"]
        for line in self.steps:
            lines.append(f"  T = {line['t']}: {_line(line)}")
        for line in self.adaptive:
            lines.append(f"  {line['mode']}, {line['mean_steps']:.2f} steps: {_line(line)}")
        return "\n".join(lines)


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.2f} %"


def _line(line: dict[str, Any]) -> str:
    return (
        f"top-1 {_share(line['top1'])}, agreement {_share(line['agreement'])}, "
        f"KL {line['kl']:.4f}, energy {line['energy_synaptic']:.3f}"
    )


def validate(
    spike: Path,
    onnx: Any,
    data: Data,
    *,
    example: Any = None,
    opset: int = _torch.DEFAULT_OPSET,
    skip: int = 0,
    limit: int = 0,
    steps: int = 0,
    mode: str = "all",
    policy: str | None = None,
    exit: float | None = None,
    merge: bool = True,
    refine: bool = True,
    ablation: bool = False,
    layers: bool = False,
    site_rates: bool = True,
    timing: bool = True,
    force: bool = False,
    strict: bool = False,
    batch: int = 16,
    threads: int = 0,
    isa: str = "auto",
    resize: int | None = None,
    crop: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    interpolation: str | None = None,
    progress: Progress | None = None,
) -> ValidateReport:
    """Runs a spiking network beside its source over the same tensors.

    Args:
        spike: the ``.spike``.
        onnx: its source, as for `convert`; another one is refused (``MISMATCH``).
        data: as for `convert`, shuffled by the seed in the ``.spike``; a loader's order is kept.
        example, opset: with a module, as for `convert`.
        skip: samples left out at the start; as many as were calibrated on leaves those out.
        limit: samples used at most; 0: all.
        steps: of ``exact``; 0: all.
        mode: beside ``exact``: ``"all"``, ``"exact"`` (none other), ``"balanced"`` or ``"fast"``.
        policy, exit, merge, refine: as for `Session.run`, for every mode.
        ablation: what each means of ``balanced`` does alone.
        layers: rank the sites by the damage that each does, on `limit` images or 16.
        site_rates: firing rate and SNR of every site, on 16 images; for the report's heat map.
        timing: False: no pass for ``ms_per_image``.
        force: accept another source network.
        strict: a broken sample is an error; else broken ones are left out, with a warning.
        batch, threads, isa: as for `Session`.
        resize, crop, mean, std, interpolation: in place of what the file keeps.
        progress: called now and then; a true answer stops.

    Raises:
        Error: with what is in the way.
    """
    native = _native.spike_open(os.fspath(spike))
    info = _native.spike_info(native)
    stored = Preprocess.from_native(info["preprocess"])
    preprocess = Preprocess(
        stored.resize if resize is None else resize,
        stored.crop if crop is None else crop,
        stored.mean if mean is None else mean,
        stored.std if std is None else std,
        stored.interpolation if interpolation is None else interpolation,
    )
    if skip < 0 or limit < 0:
        raise usage_error(f"skip {skip}, limit {limit}: expected 0 or more")
    with _network.open_source(onnx, example, opset) as source:
        samples = Samples(
            data, info["image_shape"], preprocess, info["seed"], skip + limit if limit else 0
        )
        text = _native.validate(
            native,
            source,
            samples.native,
            skip=skip,
            limit=limit,
            steps=steps,
            mode=mode,
            batch=batch,
            threads=threads,
            isa=index_of("isa", isa, ISAS),
            policy=index_of("policy", policy, POLICIES),
            exit=-1.0 if exit is None else exit,
            has_ablation=ablation,
            is_merging_off=not merge,
            is_refining_off=not refine,
            is_forced=force,
            is_untimed=not timing,
            has_layers=layers,
            has_site_rates=site_rates,
            is_strict=strict,
            progress=progress,
        )
    source_path = None if _torch.is_module(onnx) else os.fspath(onnx)
    what = repr(os.fspath(data)) if isinstance(data, (str, os.PathLike)) else "data"
    call = (
        f"transpike.validate({os.fspath(spike)!r}, {source_path or 'module'!r}, {what}, "
        f"skip={skip}, limit={limit}, steps={steps}, mode={mode!r}, policy={policy!r}, exit={exit}, "
        f"merge={merge}, refine={refine}).save('report.html')"
    )
    report = ValidateReport(
        _Opened(native, samples, text, os.fspath(spike), source_path, call, threads)
    )
    if report.skipped["images"]:
        names = ", ".join(report.skipped["names"])
        warnings.warn(f"broken samples left out: {report.skipped['images']}; {names}", stacklevel=2)
    return report
