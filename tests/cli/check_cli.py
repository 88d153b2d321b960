# SPDX-License-Identifier: Apache-2.0
"""The command from outside: help, exit codes, one-line refusals, JSON.

usage: check_cli.py TRANSPIKE SOURCE_ROOT

The parts that need a network use the sample model and its data; each says when it is left out.
"""
import json
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

TOOL = pathlib.Path(sys.argv[1])
ROOT = pathlib.Path(sys.argv[2])
COMMANDS = ("convert", "run", "validate", "inspect", "doctor")
CASES = os.environ.get("TRANSPIKE_DATA") and pathlib.Path(os.environ["TRANSPIKE_DATA"], "onnx-vit")
MODELS = sorted((ROOT / "samples").glob("*.onnx"))
if not MODELS and CASES:
    MODELS = sorted(CASES.glob("hand-min__legacy__op17__b1/model.onnx"))
SHARED = pathlib.Path(os.environ.get("TRANSPIKE_DATA", "/nonexistent"))
VIT = SHARED / "models" / "vit_tiny_imagenet" / "torchscript_op17.onnx"
PHOTOS = SHARED / "data" / "imagenet-sample"
STATUS = {"USAGE": 2, "NOMEM": 3, "IO": 10, "FORMAT": 20, "UNSUPPORTED": 30, "SHAPE": 40,
          "RANGE": 50, "LIMIT": 60, "MISMATCH": 61, "INTERRUPTED": 62}
try:
    import numpy
except ImportError:
    numpy = None


def run(*words, **options):
    return subprocess.run([TOOL, *map(str, words)], capture_output=True, text=True, timeout=300,
                          **options)


def write_npy(path, shape, dtype, payload):
    """A .npy file without numpy."""
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + payload)


def write_png(path, width, height, grey=0):
    """A grey PNG of one value."""
    def chunk(kind, body):
        return (struct.pack(">I", len(body)) + kind + body
                + struct.pack(">I", zlib.crc32(kind + body)))

    rows = b"".join(b"\x00" + bytes([(grey + x + y) % 256 for x in range(width)])
                    for y in range(height))
    path.write_bytes(b"\x89PNG\r\n\x1a\n"
                     + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def refused(self, status, *words, naming=None, **options):
        """The line of a refusal, after its form was checked."""
        result = run(*words, **options)
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 1, f"{words}: {result.stderr!r}")
        self.assertTrue(lines[0].endswith(f" [{status}]"), f"{words}: {lines[0]}")
        self.assertEqual(result.returncode, STATUS[status], words)
        self.assertEqual(result.stdout, "", words)
        if naming:
            self.assertIn(str(naming), lines[0])
        return lines[0]


class Line(Case):
    def test_help(self):
        for words in (["--help"], ["-h"], ["help"]):
            result = run(*words)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            for command in COMMANDS:
                self.assertIn(f"\n  {command} ", result.stdout)
        for command in COMMANDS:
            text = run(command, "--help").stdout
            self.assertTrue(text.startswith(f"Usage: transpike {command} "))
            self.assertEqual(text, run("help", command).stdout)
            self.assertLessEqual(max(map(len, text.splitlines())), 100)
        self.refused("USAGE", "help", "convrt", naming="did you mean convert?")

    def test_help_names_every_exit_code_and_has_examples(self):
        for command in COMMANDS:
            text = run(command, "--help").stdout
            self.assertRegex(text, r"Examples:\n  # [^\n]+\n  transpike " + command)
            for name, code in STATUS.items():
                self.assertRegex(text, rf"(?m)^ +{code}  {name} ")

    def test_version(self):
        result = run("--version")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"^transpike \d+\.\d+\.\d+\n$")
        told = run("--version", "-v")
        self.assertEqual(told.returncode, 0)
        self.assertTrue(told.stdout.startswith(result.stdout))
        for fact in ("compiler", "type", "machine", "openmp", "simd", "sanitizers"):
            self.assertRegex(told.stdout, rf"(?m)^{fact}: \S")

    def test_doctor(self):
        report = self.folder / "doctor.json"
        result = run("doctor", "--json", report)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        read = json.loads(report.read_text())
        self.assertEqual(read["schema"], "transpike.doctor/1")
        self.assertEqual(f"transpike {read['version']}\n", run("--version").stdout)
        self.assertIn(read["kernels"]["chosen"], read["kernels"]["supported"])
        self.assertIn("scalar", read["kernels"]["supported"])
        self.assertEqual(read["threads"]["default"],
                         len(os.sched_getaffinity(0)) if read["build"]["openmp"] else 1)
        self.assertGreater(read["memory"]["total"], 1 << 27)
        if pathlib.Path("/proc/cpuinfo").exists() and "avx2" in read["cpu"]["features"]:
            flags = re.search(r"(?m)^flags\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text())
            for name, is_present in read["cpu"]["features"].items():
                self.assertEqual(name.replace("avx512vnni", "avx512_vnni") in flags[1].split(),
                                 is_present, name)
        for name, version in read["libraries"].items():
            text = version if isinstance(version, str) else version["config"]
            self.assertRegex(text, r"\d+\.\d+")
            self.assertIn(text, result.stdout)
        bound = subprocess.run([TOOL, "doctor", "--json", "-"], capture_output=True, text=True,
                               preexec_fn=lambda: os.sched_setaffinity(
                                   0, {min(os.sched_getaffinity(0))}),
                               env={**os.environ, "GOMP_SPINCOUNT": "7"})
        read = json.loads(bound.stdout)
        self.assertEqual(read["threads"]["default"], 1)
        self.assertEqual(read["threads"]["environment"]["GOMP_SPINCOUNT"], "7")
        if os.cpu_count() > 1 and read["build"]["openmp"]:
            self.assertIn("affinity", " ".join(read["advice"]))

    def test_wrong_lines(self):
        self.refused("USAGE", naming="convert, run, validate, inspect or doctor")
        self.refused("USAGE", "valdiate", naming="did you mean validate?")
        self.refused("USAGE", "train", naming='"train"')
        self.refused("USAGE", "run", "m.onnx", "a.png", "--stesp", "3", naming="mean --steps?")
        self.refused("USAGE", "run", "m.onnx", naming="INPUT")
        self.refused("USAGE", "inspect", "a", "b", naming='"b"')
        self.refused("USAGE", "convert", "m.onnx", "-o", "x.spike", naming="--data")
        self.refused("USAGE", "run", "m", "a", "--explain", "x.jpg", naming="end in .png")
        self.refused("USAGE", "validate", "m.spike", "--data", "d", naming="--onnx")
        self.refused("USAGE", "run", "m", "a", "--dump-products", naming="--dump-spikes")
        self.refused("USAGE", "run", "m", "a", "--isa", "sse9", naming="scalar, avx2")
        self.refused("USAGE", "run", "m", "a", "--steps", "0", naming="1 to 16")
        self.refused("USAGE", "run", "m", "a", "--exit", "1.5", naming="0 to 1")
        self.refused("USAGE", "run", "m", "a", "--policy", "sure", naming="margin, net")

    def test_keep_analog_is_a_list_of_names(self):
        for names in ("", ",", "a,", "a,,b"):
            self.refused("USAGE", "convert", "m", "--data", "d", "-o", "x.spike", "--keep-analog",
                         names, naming="--keep-analog")

    def test_budgets(self):
        line = ("convert", "m", "--data", "d", "-o", "x.spike")
        for words in (["--max-loss", "-1"], ["--max-loss", "much"], ["--max-loss", "101"],
                      ["--min-agreement", "94"], ["--max-energy", "nan"],
                      ["--calib-cache", "2GB"], ["--calib-cache", "-1"], ["--calib-cache", "GiB"],
                      ["--time-budget", "0"], ["--time-budget", "10x"], ["--time-budget", "m"]):
            self.refused("USAGE", *line, *words, naming=words[0])
        for words in (["--min-agreement", "0.9"], ["--time-budget", "10m"]):
            self.refused("USAGE", *line, *words, naming="need --max-loss or --max-energy")
        self.refused("USAGE", *line, "--max-loss", "1", "--preset", "ecmt", naming="--max-loss")

    def test_reserved_options_are_said_to_be_missing(self):
        for words in (["--deterministic"],):
            self.refused("USAGE", "convert", "m.onnx", *words,
                         naming=f"{words[0]} is not in this version")
        for words in (["--halt", "on"], ["--halt-keys", "keep"]):
            self.refused("USAGE", "run", "m", "a", *words, naming=f"{words[0]} is not in")

    def test_merge(self):
        line = ["convert", "m.onnx", "--data", "d", "-o", "x.spike"]
        for text in ("0", "x", "3,", "3,4,5", "-1", "99999"):
            self.refused("USAGE", *line, "--merge", text, naming="--merge")
        self.refused("USAGE", "run", "m", "a", "--merge", "maybe", naming="--merge")

    def test_refine(self):
        line = ["convert", "m.onnx", "--data", "d", "-o", "x.spike"]
        for text in ("0", "1", "x", "0.3,", "0.3,0.2,0.1", "-0.5", "nan"):
            self.refused("USAGE", *line, "--refine", text, naming="--refine")
        self.refused("USAGE", *line, "--refine", "0.3", "--max-loss", "1", naming="--refine")
        self.refused("USAGE", "run", "m", "a", "--refine", "maybe", naming="--refine")

    def test_full_standard_output(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run([TOOL, "--help"], stdout=full, stderr=subprocess.PIPE,
                                    text=True)
        self.assertEqual(result.returncode, STATUS["IO"])
        self.assertRegex(result.stderr, r"^transpike: standard output: .* \[IO\]\n$")


class Files(Case):
    def test_missing_models(self):
        gone = self.folder / "gone"
        for name in ("gone.onnx", "gone.spike", "gone"):
            path = self.folder / name
            self.refused("IO", "inspect", path, naming=path)
            self.refused("IO", "run", path, "a.png", naming=path)
        self.refused("IO", "convert", gone, "--data", "d", "-o", self.folder / "x.spike",
                     naming=gone)
        self.refused("IO", "validate", gone, "--onnx", "m.onnx", "--data", "d", naming=gone)

    def test_a_folder_is_no_model(self):
        self.refused("IO", "inspect", self.folder, naming=self.folder)

    def test_not_a_model(self):
        for content in (b"", b"hello, this is no model at all\n", bytes(range(256)) * 20):
            for name in ("m.onnx", "m.spike"):
                path = self.folder / name
                path.write_bytes(content)
                self.refused("FORMAT", "inspect", path, naming=path)
                self.refused("FORMAT", "run", path, "a.png", naming=path)


@unittest.skipUnless(MODELS, "no model in samples/, and TRANSPIKE_DATA is not set")
class Network(Case):
    @classmethod
    def setUpClass(cls):
        cls.model = MODELS[0]
        result = run("inspect", cls.model, "--json", "-")
        assert result.returncode == 0, result.stderr
        cls.shape = json.loads(result.stdout)["inputs"][0]["shape"]
        cls.work = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.work.cleanup)
        cls.data = pathlib.Path(cls.work.name) / "images"
        cls.data.mkdir()
        side = cls.shape[2]
        for i in range(12):
            write_png(cls.data / f"{i:02}.png", side, side, 20 * i)
        (cls.data / "labels.csv").write_text(
            "file,label\n" + "".join(f"{i:02}.png,{i % 10}\n" for i in range(12)))
        cls.spike = pathlib.Path(cls.work.name) / "model.spike"
        result = run("convert", cls.model, "--data", cls.data, "-o", cls.spike, "--calib-images",
                     "8", "--steps", "2", "--json", "-")
        assert result.returncode == 0, result.stderr
        cls.converted = json.loads(result.stdout)

    def batch(self, n, shape=None, dtype="<f4", size=4):
        path = self.folder / "batch.npy"
        shape = [n, *(shape or self.shape[1:])]
        elements = 1
        for d in shape:
            elements *= d
        write_npy(path, shape, dtype, bytes(size * elements))
        return path

    def test_convert_report(self):
        self.assertEqual(self.converted["schema"], "transpike.convert/1")
        self.assertIs(self.converted["met"], True)
        self.assertEqual((self.converted["chosen"], self.converted["pareto"]), ({}, []))
        self.assertGreater(self.converted["seconds"], 0)

    def test_inspect(self):
        text = run("inspect", self.model).stdout
        self.assertIn("can be converted", text)
        self.assertIn("blocks.0.attn", text)
        described = json.loads(run("inspect", self.spike, "--json", "-").stdout)
        self.assertEqual(described["schema"], "transpike.inspect/1")
        self.assertEqual(described["steps"], 2)
        self.assertEqual(described["coding"], "differential")
        self.assertTrue(described["sites"] and described["analog"])
        self.assertIn("prior at products", [entry["op"] for entry in described["analog"]])
        self.assertEqual({"weights", "state", "arena"}, set(described["memory"]))
        for site in described["sites"]:
            self.assertIn(site["kind"], ("linear", "query", "key", "value", "numerator"))
            self.assertEqual(len(site["levels"]), 2)
            self.assertEqual(len(site["ladder"]), 2)
        self.assertIn("Analog", run("inspect", self.spike).stdout)

    def test_run_prints_and_reports_alike(self):
        for model in (self.model, self.spike):
            report = self.folder / "run.json"
            result = run("run", model, self.data, "--top", "2", "--json", report)
            self.assertEqual(result.returncode, 0, result.stderr)
            read = json.loads(report.read_text())
            self.assertEqual(read["schema"], "transpike.run/1")
            self.assertEqual([i["name"] for i in read["images"]],
                             [f"{i:02}.png" for i in range(12)])
            for image in read["images"]:
                self.assertEqual(len(image["top"]), 2)
                self.assertIn(image["name"], result.stdout)
                self.assertEqual(image["steps"], 2 if model == self.spike else None)
            self.assertEqual(read, json.loads(run("run", model, self.data, "--top", "2", "--json",
                                                  "-").stdout))

    def test_preprocessing_is_guessed_and_said(self):
        image = self.data / "03.png"
        for words in (["--mean", "0.5"], ["-q"]):
            self.assertEqual(run("run", self.model, image, *words).stderr, "")
        said = run("run", self.model, self.data).stderr
        self.assertRegex(said, r"^transpike run: preprocessing guessed: no resizing \([^)]*\), "
                               r"--mean [0-9.]+ --std [0-9.]+ \([^)]*12 images\)\n$")
        self.assertEqual(run("run", self.model, self.batch(2)).stderr, "")
        flags = re.search(r"(--mean) (\S+) (--std) (\S+)", said).groups()
        self.assertEqual(run("run", self.model, self.data, *flags, "--resize", "0").stdout,
                         run("run", self.model, self.data, "-q").stdout)

    @unittest.skipUnless(VIT.exists(), "TRANSPIKE_DATA has no ViT-Tiny")
    def test_guess_is_what_the_network_was_trained_with(self):
        said = run("run", VIT, *sorted(PHOTOS.glob("*.jpg"))[:2]).stderr
        self.assertIn("--resize 256 --crop 224 (from the input's size), --mean 0.5 --std 0.5 ",
                      said)

    def test_class_names(self):
        names = self.folder / "names.txt"
        names.write_text("".join(f"class {i}\n" for i in range(10)))
        image = self.data / "03.png"
        read = json.loads(run("run", self.spike, image, "--classes", names, "--json", "-").stdout)
        top = read["images"][0]["top"][0]
        self.assertEqual(top["name"], f"class {top['class']}")
        self.assertEqual(read["images"][0]["name"], str(image))

    def test_number_of_class_names(self):
        names = self.folder / "names.txt"
        names.write_text("one\ntwo\n")
        for model in (self.model, self.spike):
            self.refused("RANGE", "run", model, self.data / "03.png", "-q", "--classes", names,
                         naming=f"{names}: 2 class names, the network has 10 classes")

    def test_default_output(self):
        model = self.folder / "vit.onnx"
        model.write_bytes(self.model.read_bytes())
        out = self.folder / "vit.spike"
        line = ["convert", model, "--data", self.data, "--calib-images", "4", "--steps", "1"]
        for _ in range(2):      # the second time over the first
            result = run(*line)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertRegex(result.stderr, r"^transpike convert: preprocessing guessed: [^\n]*\n$")
            self.assertTrue(result.stdout.startswith(f"{out}: 1 step"))
        kept = b"PK\x03\x04 of something else"
        out.write_bytes(kept)
        for words in ([], ["-o", out]):
            self.refused("USAGE", *line, *words, naming=f"{out} is there and is no .spike")
        self.assertEqual(out.read_bytes(), kept)
        out.write_bytes(b"")
        self.assertEqual(run(*line, "-q").stderr, "")
        self.refused("USAGE", "convert", out, "--data", self.data, "-o", self.folder / "y.spike",
                     naming=f"{out} is a .spike already")
        self.refused("UNSUPPORTED", "run", out, self.data, "--policy", "margin", "--exit", "0.5",
                     naming="one step")

    def test_kernels_that_this_build_lacks_are_named(self):
        self.refused("UNSUPPORTED", "run", self.spike, self.data, "--isa", "neon",
                     naming="no neon kernels")

    @unittest.skipUnless(numpy, "numpy is missing")
    def test_logits_do_not_depend_on_how_they_are_computed(self):
        def logits(*words):
            out = self.folder / "out.npy"
            result = run("run", *words, "--output", out)
            self.assertEqual(result.returncode, 0, result.stderr)
            return numpy.load(out)

        first = logits(self.spike, self.data)
        self.assertEqual((first.shape, first.dtype), ((12, 10), numpy.float32))
        for words in (["--threads", "1"], ["--threads", "3"], ["--batch", "1"], ["--batch", "5"],
                      ["--isa", "scalar"], ["--steps", "2"]):
            self.assertEqual(first.tobytes(), logits(self.spike, self.data, *words).tobytes(),
                             words)
        self.assertNotEqual(first.tobytes(),
                            logits(self.spike, self.data, "--steps", "1").tobytes())
        source = logits(self.model, self.data)
        self.assertEqual(source.tobytes(),
                         logits(self.model, self.data, "--threads", "1", "--batch", "1").tobytes())

    @unittest.skipUnless(numpy, "numpy is missing")
    def test_spikes_are_dumped(self):
        dump = self.folder / "spikes.npz"
        result = run("run", self.spike, self.data / "00.png", "--dump-spikes", dump)
        self.assertEqual(result.returncode, 0, result.stderr)
        sites = [s["name"] for s in
                 json.loads(run("inspect", self.spike, "--json", "-").stdout)["sites"]]
        with numpy.load(dump) as arrays:
            for site in sites:
                for t in (1, 2):
                    self.assertEqual(arrays[f"{site}/t{t}/codes"].dtype, numpy.int8)
                    self.assertEqual(arrays[f"{site}/t{t}/fan_out"].dtype, numpy.int32)

    def test_validate(self):
        report = self.folder / "validate.json"
        result = run("validate", self.spike, "--onnx", self.model, "--data", self.data, "--skip",
                     "6", "--json", report)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("used for calibration too", result.stderr)
        self.assertIn("agreement", result.stdout)
        read = json.loads(report.read_text())
        self.assertEqual(read["schema"], "transpike.validate/1")
        self.assertEqual((read["images"], read["calibration_overlap"]), (6, 2))
        self.assertEqual([s["t"] for s in read["snn"]["steps"]], [1, 2])
        self.assertEqual((read["snn"]["adaptive"], read["layers"]), ([], []))
        for step in read["snn"]["steps"]:
            for name in ("top1", "top5", "agreement", "firing_rate"):
                self.assertTrue(0 <= step[name] <= 1, name)
            for name in ("kl", "energy_synaptic", "energy_full", "energy_quantised_ann",
                         "ms_per_image"):
                self.assertGreaterEqual(step[name], 0, name)

    def test_validate_without_labels(self):
        unlabelled = self.folder / "plain"
        unlabelled.mkdir()
        for name in ("08.png", "09.png"):
            (unlabelled / name).write_bytes((self.data / name).read_bytes())
        result = run("validate", self.spike, "--onnx", self.model, "--data", unlabelled, "--json",
                     "-")
        self.assertEqual(result.returncode, 0, result.stderr)
        read = json.loads(result.stdout)
        self.assertIsNone(read["ann"]["top1"])
        self.assertIsNone(read["snn"]["steps"][0]["top5"])

    def test_refused_data(self):
        empty = self.folder / "empty"
        empty.mkdir()
        out = self.folder / "x.spike"
        for command in (["convert", self.model, "-o", out, "--data"], ["run", self.spike],
                        ["run", self.model],
                        ["validate", self.spike, "--onnx", self.model, "--data"]):
            self.refused("FORMAT", *command, empty, naming=empty)
            self.refused("IO", *command, self.folder / "gone", naming="gone")
        broken = self.folder / "broken.png"
        broken.write_bytes((self.data / "00.png").read_bytes()[:60])
        self.refused("FORMAT", "run", self.spike, broken, naming=broken.name)
        text = self.folder / "text.jpg"
        text.write_text("not a JPEG")
        self.refused("FORMAT", "run", self.spike, text, naming=text.name)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()),
                         ["broken.png", "empty", "text.jpg"])

    def test_refused_labels(self):
        labelled = self.folder / "labelled"
        labelled.mkdir()
        (labelled / "a.png").write_bytes((self.data / "00.png").read_bytes())
        (labelled / "labels.csv").write_text("file,label\na.png,10\n")
        self.refused("RANGE", "validate", self.spike, "--onnx", self.model, "--data", labelled,
                     naming=f"{labelled}: a.png: label 10, the network has 10 classes")

    def test_refused_ranges(self):
        common = ["validate", self.spike, "--onnx", self.model, "--data", self.data]
        self.refused("RANGE", *common, "--skip", "12",
                     naming=f"{self.data}: no samples left: 12 in all")
        self.refused("RANGE", *common, "--steps", "3", naming="--steps 3")
        self.refused("RANGE", "run", self.spike, self.data, "--steps", "3", naming="--steps 3")
        self.refused("RANGE", "run", self.spike, self.data, "--dump-spikes", self.folder / "x.npz",
                     "--dump-products", naming="4 at most")
        self.refused("UNSUPPORTED", "run", self.spike, self.data, "--mode", "fast",
                     naming="no mode fast")

    def test_refused_arrays(self):
        side = self.shape[2]
        self.refused("SHAPE", "run", self.spike, self.batch(2, [self.shape[1], side, side + 1]),
                     naming="batch.npy")
        self.refused("SHAPE", "run", self.model, self.batch(2, [self.shape[1], side, side + 1]),
                     naming="batch.npy")
        self.refused("FORMAT", "run", self.spike, self.batch(2, dtype="|u1", size=1),
                     naming="batch.npy")
        self.refused("RANGE", "run", self.spike, self.batch(0), naming="batch.npy")
        self.refused("USAGE", "run", self.spike, self.batch(2), "--mean", "0.5", naming="batch.npy")
        self.assertEqual(run("run", self.spike, self.batch(2)).returncode, 0)
        self.assertEqual(run("run", self.model, self.batch(2)).returncode, 0)

    def test_refused_numbers_that_are_not_finite(self):
        elements = self.shape[1] * self.shape[2] * self.shape[3]
        for value in (float("nan"), float("inf"), float("-inf")):
            numbers = [0.0] * (2 * elements)
            numbers[elements + 7] = value
            path = self.folder / "bad.npy"
            write_npy(path, [2, *self.shape[1:]], "<f4", struct.pack(f"<{2 * elements}f", *numbers))
            self.refused("RANGE", "run", self.spike, path,
                         naming=f"{path}: image 1: element 7 is {value:g}")
            self.refused("RANGE", "convert", self.model, "--data", path, "-o",
                         self.folder / "x.spike", naming=f"{path}: 1: element 7 is {value:g}")

    def test_refused_before_the_work(self):
        gone = self.folder / "gone.png"
        for words in (["-o", self.folder / "no" / "x.spike"], ["-o", self.folder],
                      ["-o", self.folder / "x.spike", "--json", self.folder / "no" / "x.spike"]):
            self.refused("IO", "convert", self.model, "--data", gone, *words,
                         naming=f"{words[-1]}: cannot")
        names = self.folder / "names.txt"
        names.write_text("one\ntwo\n")
        self.refused("RANGE", "convert", self.model, "--data", gone, "-o", self.folder / "x.spike",
                     "--classes", names, naming=f"{names}: 2 class names, the network has 10")

    def test_refused_overwriting(self):
        model, spike = self.folder / "m.onnx", self.folder / "m.spike"
        model.write_bytes(self.model.read_bytes())
        spike.write_bytes(self.spike.read_bytes())
        (self.folder / "hard.npy").hardlink_to(spike)
        (self.folder / "soft.npy").symlink_to(model)
        image = self.data / "00.png"
        convert = ["convert", model, "--data", self.data, "--calib-images", "4", "-o"]
        out = self.folder / "out"
        for words in ([*convert, model], [*convert, self.folder / "soft.npy"],
                      [*convert, out, "--json", model], [*convert, out, "--json", out],
                      ["run", spike, image, "--output", spike],
                      ["run", spike, image, "--output", self.folder / "hard.npy"],
                      ["run", spike, image, "--json", image],
                      ["run", model, image, "--output", out, "--json", out],
                      ["run", model, f"input={model}", "--output", model],
                      ["validate", spike, "--onnx", model, "--data", image, "--json", model],
                      ["inspect", spike, "--json", spike]):
            self.refused("USAGE", *words, naming=words[-1])
        self.assertEqual(model.read_bytes(), self.model.read_bytes())
        self.assertEqual(spike.read_bytes(), self.spike.read_bytes())
        self.assertFalse(out.exists())

    def test_refusals_say_what_is_wrong(self):
        name = json.loads(run("inspect", self.model, "--json", "-").stdout)["inputs"][0]["name"]
        self.refused("USAGE", "run", self.model, "foo=bar.npy",
                     naming=f'"foo=bar.npy" names no input of the network; it has "{name}"')
        short = self.folder / "short.spike"
        for n in (1000, len(self.spike.read_bytes()) // 2):
            short.write_bytes(self.spike.read_bytes()[:n])
            self.assertIn("truncated", self.refused("FORMAT", "inspect", short).lower())
        junk = self.folder / "junk.jpg"
        for n in (0, 30, 3000):
            junk.write_bytes(b"\xff\xd8\xff\xe0" + bytes(n))
            self.refused("FORMAT", "run", self.spike, junk, naming=f"{junk}: broken JPEG: ")

    def test_mismatch(self):
        changed = self.folder / "changed.onnx"
        content = bytearray(self.model.read_bytes())
        changed.write_bytes(content)
        common = ["validate", self.spike, "--onnx", changed, "--data", self.data, "--limit", "2"]
        self.assertEqual(run(*common).returncode, 0)
        changed.write_bytes(content + b"\x32\x01x")  # doc_string: another file, the same network
        self.refused("MISMATCH", *common, naming=changed)
        self.assertEqual(run(*common, "--force").returncode, 0)

    def test_full_disk(self):
        for words in (["convert", self.model, "--data", self.data, "--calib-images", "4", "-q",
                       "-o", "/dev/full"],
                      ["run", self.spike, self.data, "--output", "/dev/full"],
                      ["run", self.spike, self.data, "--json", "/dev/full"],
                      ["run", self.spike, self.data, "--dump-spikes", "/dev/full"],
                      ["inspect", self.spike, "--json", "/dev/full"]):
            result = run(*words)
            self.assertEqual(result.returncode, STATUS["IO"], words)
            self.assertRegex(result.stderr, r"^transpike [^\n]*/dev/full[^\n]* \[IO\]\n$", words)
        self.assertTrue(pathlib.Path("/dev/full").is_char_device())

    def test_unwritable_folder(self):
        self.refused("IO", "run", self.spike, self.data, "--output", self.folder / "no" / "x.npy",
                     naming="x.npy")
        self.refused("IO", "convert", self.model, "--data", self.data, "--calib-images", "4", "-o",
                     self.folder / "no" / "x.spike", naming="x.spike")

    def many_images(self):
        many = self.folder / "many.npy"
        write_npy(many, [4096, *self.shape[1:]], "<f4",
                  bytes(4 * 4096 * self.shape[1] * self.shape[2] * self.shape[3]))
        return many

    def test_bar_on_a_terminal_only(self):
        many = self.many_images()
        for colour in ({}, {"NO_COLOR": "1"}):
            try:
                ours, theirs = pty.openpty()
            except OSError as error:
                self.skipTest(f"no terminal to test with: {error}")
            child = subprocess.Popen([TOOL, "run", self.spike, many, "--threads", "1", "--isa",
                                      "scalar"], stdout=subprocess.DEVNULL, stderr=theirs,
                                     env={**os.environ, "TERM": "xterm", **colour})
            os.close(theirs)
            time.sleep(1.5)
            is_over = child.poll() is not None
            child.send_signal(signal.SIGINT)
            child.wait(60)
            text = b""
            while True:
                try:
                    part = os.read(ours, 65536)
                except OSError:
                    break
                if not part:
                    break
                text += part
            os.close(ours)
            if is_over:
                self.skipTest("it was over before a bar is drawn")
            self.assertRegex(text, rb"[1-9][0-9]*/4096  [0-9.]+/s  [0-9:]+( s)? left")
            self.assertEqual(b"\x1b[32m" in text, not colour)

    def test_interrupt_leaves_nothing(self):
        out = self.folder / "x.spike"
        many = self.many_images()
        child = subprocess.Popen([TOOL, "run", self.spike, many, "--threads", "1", "--isa",
                                  "scalar", "--output", out], stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        text = child.communicate(timeout=60)[1]
        if child.returncode == 0:
            self.skipTest("it was over before the signal came")
        self.assertEqual(child.returncode, STATUS["INTERRUPTED"], text)
        self.assertRegex(text, r"^transpike run: [^\n]* \[INTERRUPTED\]\n$")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["many.npy"])


@unittest.skipUnless(numpy and CASES and CASES.is_dir(), "numpy or TRANSPIKE_DATA is missing")
class Exports(Case):
    """Real exports: several outputs, other element types, a fixed batch."""

    def check(self, case, names):
        folder = CASES / case
        out = self.folder / "out.npy"
        result = run("run", folder / "model.onnx", folder / "inputs.npy", "--output", out)
        self.assertEqual(result.returncode, 0, result.stderr)
        for found, expected in names.items():
            a = numpy.load(self.folder / found)
            b = numpy.load(folder / expected)
            self.assertEqual(a.shape, b.shape)
            if b.dtype.kind == "f":
                self.assertEqual(a.dtype, numpy.float32)
                self.assertLessEqual(abs(a - b).max(), 1e-4 * abs(b).max(), case)
            else:
                self.assertTrue((a == b).all(), case)

    def test_one_output(self):
        self.check("hand-min__legacy__op17__b1", {"out.npy": "output.npy"})

    def test_several_outputs(self):
        self.check("hand-multi__legacy__op16__b1",
                   {"out_0.npy": "output.npy", "out_1.npy": "output_1.npy",
                    "out_2.npy": "output_2.npy"})

    def test_output_of_whole_numbers(self):
        self.check("hand-argmax__legacy__op20__dyn",
                   {"out_0.npy": "output.npy", "out_1.npy": "output_1.npy"})

    def test_fixed_batch(self):
        self.check("hand-mha__legacy__op17__b4", {"out.npy": "output.npy"})
        odd = self.folder / "odd.npy"
        inputs = numpy.load(CASES / "hand-mha__legacy__op17__b4" / "inputs.npy")
        numpy.save(odd, inputs[:3])
        model = CASES / "hand-mha__legacy__op17__b4" / "model.onnx"
        self.refused("SHAPE", "run", model, odd, naming="4 at a time: 3 are left over")

    def test_named_input(self):
        folder = CASES / "hand-min__legacy__op17__b1"
        ports = json.loads(run("inspect", folder / "model.onnx", "--json", "-").stdout)["inputs"]
        result = run("run", folder / "model.onnx", f"{ports[0]['name']}={folder / 'inputs.npy'}")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.refused("USAGE", "run", folder / "model.onnx",
                     f"{ports[0]['name']}={folder / 'inputs.npy'}", "none=c.npy",
                     naming="none=c.npy")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
