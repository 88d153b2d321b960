# SPDX-License-Identifier: Apache-2.0
"""Execution: spiking networks, and source networks in float."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._data import Data, Path, Preprocess, Samples, Shape, to_numpy
from ._error import usage_error

ISAS = ("auto", "scalar", "avx2", "avx512vnni", "neon")
#: Ways of running that stay open; the one that was used least recently is closed for another.
MOST_OPENED = 4
POLICIES = (None, "none", "confidence", "entropy", "margin", "net")

_STEP_WORK: np.dtype[Any] = np.dtype(_native.step_work_dtype())  # type: ignore[call-overload]
_PORT_TYPES: tuple[type[Any], ...] = (np.float32, np.float32, np.int64, np.bool_)


def index_of(name: str, value: str | None, choices: Sequence[str | None]) -> int:
    if value not in choices:
        expected = ", ".join(repr(choice) for choice in choices)
        raise usage_error(f"{name} {value!r}, expected one of {expected}")
    return choices.index(value)


class Port(NamedTuple):
    """An input or output of a network. A dimension None is the batch."""

    name: str
    shape: list[int | None]
    type: str


class Top(NamedTuple):
    """One of an image's most probable classes."""

    label: int
    name: str | None
    p: float


@dataclass(frozen=True)
class Result:
    """What a run of N images gave.

    Attributes:
        logits: float32 [N, classes], decoded, after the step that each image stopped after.
        steps: [N] steps that were executed.
        tokens: [N] share of the tokens that was computed at these steps.
        energy: [N] synaptic energy, a ratio to the source network's (docs/energy.md).
        energy_full: [N] with neurons, memory and everything analog.
        logits_by_step: float32 [N, T, classes]; behind an image's last step what it had then.
        spikes: [N, T] spikes of each step.
        neurons: [N, T] neurons that were computed at each step.
    """

    logits: NDArray[np.float32]
    steps: NDArray[np.uint32]
    tokens: NDArray[np.float64]
    energy: NDArray[np.float64]
    energy_full: NDArray[np.float64]
    logits_by_step: NDArray[np.float32]
    spikes: NDArray[np.uint64]
    neurons: NDArray[np.uint64]
    class_names: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.logits)

    def top(self, k: int = 5) -> list[list[Top]]:
        """The k most probable classes of every image, by the softmax of its logits."""
        shifted = self.logits.astype(np.float64) - self.logits.max(axis=1, keepdims=True)
        p = np.exp(shifted)
        p /= p.sum(axis=1, keepdims=True)
        order = np.argsort(-p, axis=1, kind="stable")[:, :k]
        return [
            [Top(int(c), self.class_names[int(c)], float(row[c])) for c in classes]
            for row, classes in zip(p, order, strict=True)
        ]


@dataclass(frozen=True)
class _Opened:
    native: object
    steps: int


class Session:
    """A spiking network, ready to run. The result for an image depends on nothing but the image and
    the ``.spike``: not on threads, batch, instruction set or the other images.

    Calls from several threads wait for each other; the GIL is released meanwhile.

    Args:
        path: a ``.spike``.
        threads: 0: all cores.
        batch: images side by side at most.
        isa: kernels: ``"auto"``, ``"scalar"``, ``"avx2"``, ``"avx512vnni"`` or ``"neon"``.
    """

    def __init__(
        self, path: Path, *, threads: int = 0, batch: int = 16, isa: str = "auto"
    ) -> None:
        self._isa = index_of("isa", isa, ISAS)
        self._spike = _native.spike_open(os.fspath(path))
        self._info = _native.spike_info(self._spike)
        self._threads = threads
        self._batch = batch
        self._lock = threading.Lock()
        self._opened: dict[tuple[object, ...], _Opened] = {}

    @property
    def image_shape(self) -> Shape:
        """Channels, height and width."""
        return self._info["image_shape"]

    @property
    def steps(self) -> int:
        """Steps of mode ``exact``."""
        return self._info["steps"]

    @property
    def preprocess(self) -> Preprocess:
        """Of pixels, as the file keeps it."""
        return Preprocess.from_native(self._info["preprocess"])

    @property
    def class_names(self) -> tuple[str | None, ...]:
        """One a class; None where the file has no name."""
        return tuple(
            _native.spike_class_name(self._spike, i) for i in range(self._info["classes"])
        )

    @property
    def memory(self) -> dict[str, int]:
        """Bytes that mode ``exact`` holds: weights, state, arena."""
        with self._lock:
            return _native.session_memory(self._open("exact", 0, None, -1.0, True, True).native)

    def get_inputs(self) -> list[Port]:
        """As onnxruntime's: the one input."""
        return [Port("image", [None, *self.image_shape], "tensor(float)")]

    def get_outputs(self) -> list[Port]:
        """As onnxruntime's: the one output."""
        return [Port("logits", [None, self._info["classes"]], "tensor(float)")]

    def _open(
        self,
        mode: str,
        steps: int,
        policy: str | None,
        threshold: float,
        merge: bool,
        refine: bool,
    ) -> _Opened:
        key = (mode, steps, policy, threshold, merge, refine)
        found = self._opened.pop(key, None)
        if found is None:
            native = _native.session_open(
                self._spike,
                mode,
                steps,
                self._threads,
                self._batch,
                self._isa,
                index_of("policy", policy, POLICIES),
                threshold,
                not merge,
                not refine,
            )
            found = _Opened(native, steps or _native.mode_steps(self._spike, mode))
        self._opened[key] = found
        if len(self._opened) > MOST_OPENED:
            del self._opened[next(iter(self._opened))]
        return found

    def _tensors(self, images: Data) -> NDArray[np.float32]:
        """Preprocessed images: [N, C, H, W], contiguous."""
        if not isinstance(images, (str, os.PathLike)):
            array = to_numpy(images)
            if array.dtype != np.uint8:
                return self._check(array)
            images = array
        return Samples(images, self.image_shape, self.preprocess, None).read()

    def _check(self, array: NDArray[Any]) -> NDArray[np.float32]:
        if array.dtype.kind != "f" or array.shape[1:] != self.image_shape:
            raise usage_error(
                f"images are {array.dtype} {list(array.shape)}, the network takes float32 "
                f"[N, {', '.join(map(str, self.image_shape))}] or uint8 [N, H, W, C]"
            )
        tensors = np.ascontiguousarray(array, np.float32)
        if not np.isfinite(tensors).all():
            raise usage_error("images hold elements that are not finite")
        return tensors

    @overload
    def run(
        self,
        images: Data,
        feed: None = None,
        *,
        mode: str = "exact",
        steps: int | None = None,
        policy: str | None = None,
        exit: float | None = None,
        merge: bool = True,
        refine: bool = True,
        dump_spikes: Path | None = None,
        dump_products: bool = False,
    ) -> Result: ...

    @overload
    def run(
        self,
        images: Sequence[str] | None,
        feed: Mapping[str, Any],
        *,
        mode: str = "exact",
        steps: int | None = None,
        policy: str | None = None,
        exit: float | None = None,
        merge: bool = True,
        refine: bool = True,
    ) -> list[NDArray[np.float32]]: ...

    def run(
        self,
        images: Any,
        feed: Mapping[str, Any] | None = None,
        *,
        mode: str = "exact",
        steps: int | None = None,
        policy: str | None = None,
        exit: float | None = None,
        merge: bool = True,
        refine: bool = True,
        dump_spikes: Path | None = None,
        dump_products: bool = False,
    ) -> Result | list[NDArray[np.float32]]:
        """Runs images.

        Args:
            images: float32 [N, C, H, W], used as they are; uint8 [N, H, W, C], preprocessed as the
                file says; a tensor of PyTorch likewise; or a path as the command takes it, in the
                order of the file names. With `feed`: names of outputs, or None for all.
            feed: as for onnxruntime: ``run(None, {"image": x})`` returns a list with the logits.
            mode: ``"exact"``, ``"balanced"`` or ``"fast"``.
            steps: of ``exact``, at most; None: all.
            policy: when an image stops: ``"none"``, ``"confidence"``, ``"entropy"``, ``"margin"``,
                ``"net"``; None: as the mode says.
            exit: threshold of the policy, 0 to 1; None: those of the file.
            merge: False: no tokens merge.
            refine: False: all tokens are computed at every step.
            dump_spikes: an .npz to write every site's codes to (docs/dump.md); 64 images at most.
            dump_products: and inputs, products and grids; 4 images at most.
        """
        if feed is not None:
            return self._run_feed(images, feed, mode, steps, policy, exit, merge, refine)
        if steps is not None and mode != "exact":
            raise usage_error("steps and mode exclude each other")
        tensors = self._tensors(images)
        with self._lock:
            threshold = -1.0 if exit is None else exit
            opened = self._open(mode, steps or 0, policy, threshold, merge, refine)
            logits = np.empty((len(tensors), opened.steps, self._info["classes"]), np.float32)
            work = np.empty((len(tensors), opened.steps), _STEP_WORK)
            if dump_spikes is not None:
                _native.session_dump(
                    opened.native,
                    opened.steps,
                    tensors,
                    logits,
                    work.view(np.uint8),
                    dump_products,
                    os.fspath(dump_spikes),
                )
            else:
                _native.session_run(
                    opened.native,
                    opened.steps,
                    min(self._threads or len(os.sched_getaffinity(0)), self._batch),
                    tensors,
                    logits,
                    work.view(np.uint8),
                )
        last = work[:, -1]
        return Result(
            logits=np.ascontiguousarray(logits[:, -1]),
            steps=last["steps"].copy(),
            tokens=last["tokens"] / last["steps"],
            energy=last["energy_synaptic"].copy(),
            energy_full=last["energy_full"].copy(),
            logits_by_step=logits,
            spikes=work["spikes"].copy(),
            neurons=work["neurons"].copy(),
            class_names=self.class_names,
        )

    def _run_feed(
        self,
        names: Sequence[str] | None,
        feed: Mapping[str, Any],
        mode: str,
        steps: int | None,
        policy: str | None,
        exit: float | None,
        merge: bool,
        refine: bool,
    ) -> list[NDArray[np.float32]]:
        if list(feed) != ["image"]:
            raise usage_error(f"inputs {sorted(feed)}, the network has one, 'image'")
        if names is not None and list(names) != ["logits"]:
            raise usage_error(f"outputs {list(names)}, the network has one, 'logits'")
        result = self.run(
            feed["image"],
            mode=mode,
            steps=steps,
            policy=policy,
            exit=exit,
            merge=merge,
            refine=refine,
        )
        return [result.logits]


class FloatSession:
    """A source network in float, with the interface of onnxruntime's sessions.

    Args:
        path: an ``.onnx``.
        threads: 0: all cores.
    """

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        self._model = _native.model_open(os.fspath(path))
        self._inputs, self._outputs, self._batch = _native.model_ports(self._model)
        self._ann = _native.ann_open(self._model, threads)
        self._lock = threading.Lock()

    @staticmethod
    def _ports(ports: Sequence[tuple[str, int, list[int]]]) -> list[Port]:
        types = ("", "tensor(float)", "tensor(int64)", "tensor(bool)")
        return [Port(name, list(dims), types[dtype]) for name, dtype, dims in ports]

    def get_inputs(self) -> list[Port]:
        """As onnxruntime's; the batch is bound."""
        return self._ports(self._inputs)

    def get_outputs(self) -> list[Port]:
        """As onnxruntime's; the batch is bound."""
        return self._ports(self._outputs)

    def _take(self, port: tuple[str, int, list[int]], value: Any) -> NDArray[Any]:
        name, dtype, dims = port
        array = np.ascontiguousarray(to_numpy(value), _PORT_TYPES[dtype])
        if list(array.shape[1:]) != dims[1:] or (dims and array.shape[0] % dims[0]):
            raise usage_error(f"input {name!r} is {list(array.shape)}, expected multiples of {dims}")
        return array

    def run(self, names: Sequence[str] | None, feed: Mapping[str, Any]) -> list[NDArray[Any]]:
        """Outputs by name (None: all) for inputs by name. A network with a fixed batch takes whole
        multiples of it."""
        missing = {port[0] for port in self._inputs} ^ set(feed)
        if missing:
            raise usage_error(f"inputs {sorted(missing)} are missing or unknown")
        arrays = [self._take(port, feed[port[0]]) for port in self._inputs]
        runs = {
            len(array) // port[2][0]
            for port, array in zip(self._inputs, arrays, strict=True)
            if port[2]
        }
        if len(runs) > 1:
            raise usage_error(f"inputs of {sorted(runs)} batches")
        n_runs = runs.pop() if runs else 1
        outputs = [
            np.empty([n_runs * dims[0], *dims[1:]] if dims else [n_runs], _PORT_TYPES[dtype])
            for _, dtype, dims in self._outputs
        ]
        with self._lock:
            _native.ann_run(self._ann, n_runs, arrays, outputs)
        known = [port[0] for port in self._outputs]
        wanted = known if names is None else list(names)
        unknown = set(wanted) - set(known)
        if unknown:
            raise usage_error(f"outputs {sorted(unknown)}, the network has {known}")
        return [outputs[known.index(name)] for name in wanted]
