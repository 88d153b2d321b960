# SPDX-License-Identifier: Apache-2.0
"""Samples: paths, arrays, and loaders of PyTorch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._error import usage_error

Path: TypeAlias = "str | os.PathLike[str]"
Shape: TypeAlias = "tuple[int, int, int]"

#: What ``data`` may be: a path as the command takes it; images, or a tuple of images and labels; or
#: an iterable of batches, such as ``torch.utils.data.DataLoader``.
Data: TypeAlias = "Path | tuple[Any, Any] | NDArray[Any] | Iterable[Any]"

_INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


@dataclass(frozen=True)
class Preprocess:
    """How pixels become a network's input: PyTorch's ``Resize(resize, antialias=True)`` of the short
    side, ``CenterCrop(crop)``, ``ToTensor`` and ``Normalize(mean, std)``.

    Attributes:
        resize: length of the short side [pixels]; 0: no resizing; None: guessed.
        crop: side of the centre crop [pixels]; 0: no crop; None: guessed.
        mean: subtracted from pixels in [0, 1]; one number, or one a channel; None, with `std` None
            too: guessed.
        std: divides after it.
        interpolation: ``"nearest"``, ``"bilinear"`` or ``"bicubic"``.
    """

    resize: int | None = None
    crop: int | None = None
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    interpolation: str = "bilinear"

    def to_native(self, channels: int) -> _native.Preprocess:
        if self.interpolation not in _INTERPOLATIONS:
            raise usage_error(
                f"interpolation {self.interpolation!r}, expected one of {', '.join(_INTERPOLATIONS)}"
            )
        return (
            self.resize or 0,
            self.crop or 0,
            _INTERPOLATIONS.index(self.interpolation),
            channels,
            _four("mean", 0.0 if self.mean is None else self.mean, channels),
            _four("std", 1.0 if self.std is None else self.std, channels),
        )

    @classmethod
    def from_native(cls, stored: _native.Preprocess) -> Preprocess:
        resize, crop, interpolation, channels, mean, std = stored
        return cls(
            resize,
            crop,
            mean[: channels or 1],
            std[: channels or 1],
            _INTERPOLATIONS[interpolation],
        )


def _four(
    name: str, numbers: float | Sequence[float], channels: int
) -> tuple[float, float, float, float]:
    values = np.atleast_1d(np.asarray(numbers, dtype=np.float64))
    if values.ndim != 1 or (values.size != 1 and values.size != channels):
        raise usage_error(f"{name}: {values.size} numbers for {channels} channels")
    padded = [float(v) for v in np.resize(values, 4)]
    return (padded[0], padded[1], padded[2], padded[3])


def to_numpy(value: Any) -> NDArray[Any]:
    """An array of anything that numpy takes, and of tensors of PyTorch on any device."""
    detach = getattr(value, "detach", None)
    if detach is not None:
        value = detach().cpu().numpy()
    return np.asarray(value)


def _images(value: Any) -> NDArray[Any]:
    images = to_numpy(value)
    if images.dtype == np.uint8:
        if images.ndim == 3:
            images = images[..., np.newaxis]
    elif images.dtype.kind == "f":
        if images.ndim == 3:
            images = images[:, np.newaxis]
        images = images.astype(np.float32, copy=False)
    else:
        raise usage_error(
            f"images are {images.dtype}, expected uint8 [N, H, W, C] or float32 [N, C, H, W]"
        )
    if images.ndim != 4:
        raise usage_error(
            f"images have {images.ndim} dimensions, expected uint8 [N, H, W, C] or "
            "float32 [N, C, H, W]"
        )
    return np.ascontiguousarray(images)


def _labels(value: Any, count: int) -> NDArray[np.int64] | None:
    if value is None:
        return None
    labels = to_numpy(value)
    if labels.dtype.kind not in "iub":
        raise usage_error(f"labels are {labels.dtype}, expected whole numbers")
    if labels.size != count or labels.shape not in ((count,), (count, 1)):
        raise usage_error(f"labels are {list(labels.shape)}, expected [{count}]")
    return np.ascontiguousarray(labels.reshape(count), dtype=np.int64)


def _is_loader(data: Any) -> bool:
    return (
        hasattr(data, "__iter__")
        and not hasattr(data, "__array__")
        and not isinstance(data, (tuple, list))
    )


def _drain(loader: Iterable[Any], most: int) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The first images of a loader (0: all), and their labels where every batch has them."""
    images: list[NDArray[Any]] = []
    labels: list[NDArray[Any]] = []
    count = 0
    for batch in loader:
        parts = batch if isinstance(batch, (tuple, list)) else (batch,)
        images.append(to_numpy(parts[0]))
        if len(parts) > 1:
            labels.append(to_numpy(parts[1]).reshape(-1))
        count += len(images[-1])
        if 0 < most <= count:
            break
    if not images:
        raise usage_error("the loader gave no batch")
    end = most or count
    has_labels = len(labels) == len(images)
    return (
        np.concatenate(images)[:end],
        np.concatenate(labels)[:end] if has_labels else None,
    )


class Samples:
    """An opened set of samples.

    Args:
        data: see `Data`.
        shape: channels, height and width that the network expects.
        preprocess: of pixels.
        seed: of the shuffle; None keeps the order. A loader's order is kept in any case.
        most: images to take from a loader; 0: all.
        source, threads: the network, by which the preprocessing that is not given is guessed; None: nothing
            is.
    """

    def __init__(
        self,
        data: Data,
        shape: Shape,
        preprocess: Preprocess,
        seed: int | None = 0,
        most: int = 0,
        source: object = None,
        threads: int = 0,
    ) -> None:
        self.shape = shape
        self._path: str | None = None
        self._images: NDArray[Any] | None = None
        self._labels: NDArray[np.int64] | None = None
        if isinstance(data, (str, os.PathLike)):
            self._path = os.fspath(data)
        else:
            images: Any
            labels: Any
            if isinstance(data, (tuple, list)):
                if len(data) != 2:
                    raise usage_error(f"data is {len(data)} things, expected (images, labels)")
                images, labels = data
            elif _is_loader(data):
                images, labels = _drain(data, most)
                seed = None
            else:
                images, labels = data, None
            self._images = _images(images)
            self._labels = _labels(labels, len(self._images))
        self.native = self._open(preprocess, seed)
        self.preprocess = preprocess if source is None else self._guess(preprocess, source, threads)

    def __len__(self) -> int:
        return _native.dataset_count(self.native)

    def _open(self, preprocess: Preprocess, seed: int | None) -> object:
        native = preprocess.to_native(self.shape[0])
        is_shuffled = seed is not None
        if self._path is not None:
            return _native.dataset_open(self._path, native, is_shuffled, seed or 0)
        assert self._images is not None
        return _native.dataset_from_arrays(
            self._images,
            self._labels,
            self._images.dtype == np.float32,
            len(self._images),
            self._images.shape[1:],
            native,
            is_shuffled,
            seed or 0,
        )

    def _guess(self, given: Preprocess, source: object, threads: int) -> Preprocess:
        """The command's rule: docs/cli.md, Preprocessing."""
        has_size = given.resize is not None or given.crop is not None
        has_normalisation = given.mean is not None or given.std is not None
        native, are_pixels = _native.dataset_guess(
            self.native,
            source,
            given.to_native(self.shape[0]),
            has_size,
            has_normalisation,
            threads,
        )
        found = Preprocess.from_native(native)
        is_resized = not has_size and bool(found.resize or found.crop)
        if are_pixels and (is_resized or not has_normalisation):
            warnings.warn(
                f"preprocessing guessed: resize={found.resize}, crop={found.crop}, "
                f"mean={found.mean}, std={found.std}, interpolation={found.interpolation!r}",
                stacklevel=4,
            )
        return found

    def read(self) -> NDArray[np.float32]:
        """All samples, preprocessed: [N, C, H, W]."""
        out = np.empty((len(self), *self.shape), np.float32)
        _native.dataset_read(self.native, 0, len(self), self.shape, out)
        return out
