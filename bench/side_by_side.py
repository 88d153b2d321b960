#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times Transpike (spiking, and its float executor), ONNX Runtime (float, and dynamic int8) and
PyTorch on the same images in one run.

    bench/side_by_side.py MODEL.spike MODEL.onnx --lib build/libtranspike.so --data DIR \
        [--resize 248 --crop 224 --mean 0.5 --std 0.5] [--threads 2] [--steps 1,2,4] [--isa avx2]

Everything runs in this process on arrays in memory. The competitors take turns, round by round, so
that what else the machine does hits all alike; one round warms up; figures are medians of the
rounds. Waiting threads sleep and do not take the others' cores. Processor time is that of all
threads: on a machine that is not idle it says more than the wall's. Ratios are to ONNX Runtime in
float. Top-1 is over --quality images of DIR/labels.csv (file,label), agreement is with ONNX Runtime
in float. PyTorch has the sizes of the network and random weights, so no quality (made_vit.py, which
also exports such networks). --csv prints rows for bench/record.py.
"""
import argparse
import csv
import ctypes
import os
import pathlib
import statistics
import sys
import tempfile
import time

PASSIVE = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
if any(os.environ.get(name) != value for name, value in PASSIVE.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **PASSIVE})

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from PIL import Image
    MISSING = None
except ImportError as error:
    MISSING = error

ISA = {"auto": 0, "scalar": 1, "avx2": 2, "avx512vnni": 3, "neon": 4}


class Settings(ctypes.Structure):
    """tspk_session_settings as far as it is used here, and room for all of it."""
    _fields_ = [("threads", ctypes.c_int), ("batch", ctypes.c_uint32), ("steps", ctypes.c_uint32),
                ("isa", ctypes.c_int), ("rest", ctypes.c_char * 1024)]


FLOATS = ctypes.POINTER(ctypes.c_float)


class Transpike:
    def __init__(self, library, path, steps, threads, isa, classes):
        self.library, self.steps, self.classes = library, steps, classes
        self.spike, self.session = ctypes.c_void_p(), ctypes.c_void_p()
        settings = Settings()
        library.tspk_session_default_settings(ctypes.byref(settings))
        settings.threads, settings.steps, settings.isa = threads, steps, ISA[isa]
        if library.tspk_spike_open(os.fsencode(path), ctypes.byref(self.spike), None):
            sys.exit(f"side_by_side: cannot open {path}")
        if library.tspk_session_open(self.spike, ctypes.byref(settings),
                                     ctypes.byref(self.session), None):
            sys.exit(f"side_by_side: no session of {steps} steps for {path} with {isa}")

    def __call__(self, images):
        logits = np.empty((len(images), self.steps, self.classes), np.float32)
        if self.library.tspk_session_run(self.session, ctypes.c_size_t(len(images)),
                                         images.ctypes.data_as(FLOATS),
                                         logits.ctypes.data_as(FLOATS), None, None):
            sys.exit("side_by_side: a run failed")
        return logits[:, -1]


class TranspikeFloat:
    """The executor of the source network that `validate` compares with."""

    def __init__(self, library, path, threads, classes):
        self.library, self.classes = library, classes
        self.model, self.executor = ctypes.c_void_p(), ctypes.c_void_p()
        if library.tspk_model_open(os.fsencode(path), None, ctypes.byref(self.model), None):
            sys.exit(f"side_by_side: cannot open {path}")
        if library.tspk_ann_open(self.model, threads, ctypes.byref(self.executor), None):
            sys.exit(f"side_by_side: no executor for {path}")

    def __call__(self, images):
        logits = np.empty((len(images), self.classes), np.float32)
        inputs, outputs = (FLOATS * 1)(images.ctypes.data_as(FLOATS)), \
            (FLOATS * 1)(logits.ctypes.data_as(FLOATS))
        if self.library.tspk_ann_run(self.executor, ctypes.c_size_t(len(images)), inputs, outputs,
                                     None):
            sys.exit("side_by_side: a run failed")
        return logits


class OnnxRuntime:
    def __init__(self, path, threads):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def __call__(self, images):
        return self.session.run(None, {self.input: images})[0]


def quantised(path, folder):
    from onnxruntime.quantization import QuantType, quantize_dynamic
    to = pathlib.Path(folder) / "int8.onnx"
    quantize_dynamic(str(path), str(to), weight_type=QuantType.QInt8)
    return to


def torch_network(width, heads, blocks, threads):
    try:
        import torch
        from made_vit import made_vit
    except ImportError as error:
        sys.exit(f"side_by_side: {error}; --torch '' leaves PyTorch out")
    torch.set_num_threads(threads)
    network = made_vit(width, heads, blocks)

    def run(images):
        with torch.inference_mode():
            return network(torch.from_numpy(images)).numpy()
    return run


def load_images(options, count):
    try:
        with open(options.data / "labels.csv", newline="", encoding="utf-8") as file:
            rows = [(row["file"], int(row["label"])) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"side_by_side: {options.data}/labels.csv: expected rows file,label: {error}")
    if not rows:
        sys.exit(f"side_by_side: {options.data}/labels.csv: no rows")
    rows = rows[::max(1, len(rows) // count)][:count]
    images = np.empty((len(rows), 3, options.crop, options.crop), np.float32)
    for i, (name, _) in enumerate(rows):
        image = Image.open(options.data / name).convert("RGB")
        scale = options.resize / min(image.size)
        image = image.resize([max(options.resize, int(side * scale)) for side in image.size],
                             Image.Resampling.BICUBIC)
        left, top = ((side - options.crop) // 2 for side in image.size)
        image = image.crop((left, top, left + options.crop, top + options.crop))
        pixels = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
        images[i] = (pixels - options.mean) / options.std
    return images, np.array([label for _, label in rows])


def measure(runners, images, rounds):
    """Medians of (wall, processor) seconds an image."""
    spent = {name: [] for name in runners}
    for turn in range(rounds + 1):
        for name, run in runners.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run(images)
            if turn:
                spent[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: [statistics.median(column) / len(images) for column in zip(*times)]
            for name, times in spent.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spike")
    parser.add_argument("onnx", type=pathlib.Path)
    parser.add_argument("--lib", default="build/libtranspike.so")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--resize", type=int, default=248)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--mean", type=float, default=0.5)
    parser.add_argument("--std", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", default="1,2,4")
    parser.add_argument("--isa", default="auto", choices=ISA)
    parser.add_argument("--batches", default="16,1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quality", type=int, default=200, help="images; 0: none")
    parser.add_argument("--torch", default="192,3,12", help="width,heads,blocks; empty: none")
    parser.add_argument("--name", help="of the network in the report; default: the model's folder")
    parser.add_argument("--csv", action="store_true")
    options = parser.parse_args()

    if MISSING:
        sys.exit(f"side_by_side: {MISSING}; it needs numpy, onnx, onnxruntime and Pillow "
                 "(tests/requirements.txt)")
    library = ctypes.CDLL(os.path.abspath(options.lib))
    classes = onnx.load(options.onnx, load_external_data=False).graph.output[0] \
        .type.tensor_type.shape.dim[-1].dim_value
    images, labels = load_images(options, max(options.quality, 16))
    with tempfile.TemporaryDirectory() as folder:
        runners = {"onnxruntime float": OnnxRuntime(options.onnx, options.threads),
                   "onnxruntime int8": OnnxRuntime(quantised(options.onnx, folder),
                                                   options.threads),
                   "transpike float": TranspikeFloat(library, options.onnx, options.threads,
                                                     classes)}
        for steps in map(int, options.steps.split(",")):
            runners[f"transpike T={steps}"] = Transpike(library, options.spike, steps,
                                                        options.threads, options.isa, classes)
        quality = {}
        if options.quality:
            found = {name: np.concatenate([run(images[i:i + 16]).argmax(1)
                                           for i in range(0, len(images), 16)])
                     for name, run in runners.items()}
            for name, best in found.items():
                quality[name] = (np.mean(best == labels),
                                 np.mean(best == found["onnxruntime float"]))
        if options.torch:
            runners["pytorch float"] = torch_network(*map(int, options.torch.split(",")),
                                                     options.threads)
        for batch in map(int, options.batches.split(",")):
            times = measure(runners, np.ascontiguousarray(images[:batch]), options.rounds)
            report(options, batch, times, quality)


def report(options, batch, times, quality):
    wall0, cpu0 = times["onnxruntime float"]
    case = f"{options.name or options.onnx.parent.name} batch {batch} threads {options.threads}"
    if options.csv:
        for name, (wall, cpu) in times.items():
            top, agree = quality.get(name, (None, None))
            for unit, value in (("ratio of wall", wall / wall0), ("ratio of processor", cpu / cpu0),
                                ("ms wall", 1e3 * wall), ("ms processor", 1e3 * cpu),
                                ("top-1", top), ("agreement", agree)):
                if value is not None:
                    print(f"side_by_side,{case},{name} {options.isa},{value:.3g},{unit}")
        return
    print(f"{case}, isa {options.isa}")
    print(f"{'':20}{'ms':>9}{'ms cpu':>9}{'ratio':>8}{'cpu ratio':>11}{'top-1':>8}{'agree':>8}")
    for name, (wall, cpu) in times.items():
        top, agree = (f"{100 * q:.1f}%" for q in quality[name]) if name in quality else ("-", "-")
        print(f"{name:20}{1e3 * wall:9.1f}{1e3 * cpu:9.1f}{wall / wall0:8.2f}{cpu / cpu0:11.2f}"
              f"{top:>8}{agree:>8}")


if __name__ == "__main__":
    main()
