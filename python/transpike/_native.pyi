# SPDX-License-Identifier: Apache-2.0
"""The extension module. Objects are capsules that close themselves."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypedDict

from numpy.typing import NDArray

Preprocess: TypeAlias = tuple[
    int,
    int,
    int,
    int,
    tuple[float, float, float, float],
    tuple[float, float, float, float],
]

class Info(TypedDict):
    steps: int
    levels: int
    classes: int
    image_shape: tuple[int, int, int]
    seed: int
    source_sha256: str
    calibration_images: int
    preprocess: Preprocess


def version() -> str: ...
def model_open(path: str) -> object: ...
def model_check(model: object) -> None: ...
def model_describe(model: object) -> str: ...
def model_ports(
    model: object,
) -> tuple[list[tuple[str, int, list[int]]], list[tuple[str, int, list[int]]], int]: ...
def model_sha256(model: object) -> str: ...
def ann_open(model: object, threads: int) -> object: ...
def ann_run(
    ann: object, n_runs: int, inputs: list[NDArray[Any]], outputs: list[NDArray[Any]]
) -> None: ...
def dataset_open(path: str, preprocess: Preprocess, is_shuffled: bool, seed: int) -> object: ...
def dataset_from_arrays(
    images: NDArray[Any],
    labels: NDArray[Any] | None,
    are_floats: bool,
    n: int,
    dim: Sequence[int],
    preprocess: Preprocess,
    is_shuffled: bool,
    seed: int,
) -> object: ...
def dataset_guess(
    dataset: object,
    model: object,
    preprocess: Preprocess,
    is_size_given: bool,
    is_normalisation_given: bool,
    threads: int,
) -> tuple[Preprocess, bool]: ...
def dataset_count(dataset: object) -> int: ...
def dataset_class_name(dataset: object, label: int) -> str | None: ...
def dataset_read(
    dataset: object, first: int, n: int, dim: tuple[int, int, int], out: NDArray[Any]
) -> None: ...
def convert(
    model: object,
    data: object,
    *,
    preprocess: Preprocess,
    calibration_images: int,
    steps: int,
    levels: int,
    are_levels_pinned: bool,
    is_rate: bool,
    is_ecmt: bool,
    is_mirrored: bool,
    cache_bytes: int,
    seed: int,
    keep_analog: list[str],
    merged_pairs: tuple[int, int],
    refine_share: tuple[float, float],
    threads: int,
    is_strict: bool,
    budget: tuple[float, float, float, float] | None,
    progress: Callable[[str, int, int], object] | None,
) -> tuple[object, str | None, BaseException | None, int, str]: ...
def validate(
    spike: object,
    model: object,
    data: object,
    *,
    skip: int,
    limit: int,
    steps: int,
    mode: str,
    batch: int,
    threads: int,
    isa: int,
    policy: int,
    exit: float,
    has_ablation: bool,
    is_merging_off: bool,
    is_refining_off: bool,
    is_forced: bool,
    is_untimed: bool,
    has_layers: bool,
    has_site_rates: bool,
    is_strict: bool,
    progress: Callable[[str, int, int], object] | None,
) -> str: ...
def spike_open(path: str) -> object: ...
def spike_save(spike: object, path: str) -> None: ...
def spike_describe(spike: object) -> str: ...
def spike_info(spike: object) -> Info: ...
def spike_class_name(spike: object, index: int) -> str | None: ...
def spike_set_class_names(spike: object, names: list[str]) -> None: ...
def mode_steps(spike: object, mode: str) -> int: ...
def session_open(
    spike: object,
    mode: str,
    steps: int,
    threads: int,
    batch: int,
    isa: int,
    policy: int,
    exit: float,
    is_merging_off: bool,
    is_refining_off: bool,
) -> object: ...
def session_run(
    session: object,
    steps: int,
    slots: int,
    images: NDArray[Any],
    logits: NDArray[Any],
    work: NDArray[Any],
) -> None: ...
def session_dump(
    session: object,
    steps: int,
    images: NDArray[Any],
    logits: NDArray[Any],
    work: NDArray[Any],
    with_products: bool,
    path: str,
) -> None: ...
def session_memory(session: object) -> dict[str, int]: ...
def step_work_dtype() -> dict[str, Any]: ...
def report_write(
    path: str,
    spike: object,
    dataset: object,
    json: str,
    title: str | None,
    spike_path: str | None,
    source_path: str | None,
    command: str,
    threads: int,
) -> None: ...
def system_describe() -> str: ...
