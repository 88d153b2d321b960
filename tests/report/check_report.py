#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`validate --report`: the page in headless Chromium, and what a hostile data set does to it.

usage: check_report.py TRANSPIKE MODEL.onnx
"""
import base64
import html
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy as np
    from PIL import Image
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

TOOL, MODEL = sys.argv[1:3]
HERE = pathlib.Path(__file__).parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CLASSES, SIDE = 10, 28    # of the sample network
# As class folders and file names: what would run, or end the block of data, if it were markup.
HOSTILE = ["</script><script>window.injected=1<",
           "<img src=x onerror=window.injected=2>",
           "'\"&lt;!--",
           "\u2028{{chart.js}}\u2029",
           "]]>-->}};window.injected=3;"]


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True)


def must(*words):
    done = run(*words)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def make_samples(folder, n=30):
    """Grey images of noise in class folders with hostile names."""
    random = np.random.default_rng(7)
    for i in range(n):
        home = folder / f"{i % CLASSES}{HOSTILE[i % len(HOSTILE)]}".replace("/", "\u2215")
        home.mkdir(exist_ok=True)
        name = f"{i}{HOSTILE[i // CLASSES]}.png".replace("/", "\u2215")
        Image.fromarray(random.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)).save(home / name)


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.samples = cls.folder / "samples"
        cls.samples.mkdir()
        make_samples(cls.samples)
        cls.spike = cls.folder / "toy.spike"
        names = cls.folder / "names.txt"
        names.write_text("\n".join(f"{i} {HOSTILE[i % len(HOSTILE)]}" for i in range(CLASSES)))
        must(TOOL, "convert", MODEL, "--data", cls.samples, "--calib-images", 4, "--steps", 2,
             "--levels", 2, "--merge", 4, "--classes", names, "-o", cls.spike)
        cls.page = cls.folder / "report.html"
        cls.command = [TOOL, "validate", cls.spike, "--onnx", MODEL, "--data", cls.samples,
                       "--json", cls.folder / "result.json"]
        done = run(*cls.command, "--report", cls.page)
        if "[UNSUPPORTED]" in done.stderr and "libjs-chart.js" in done.stderr:
            print(f"skipped: {done.stderr.strip()}")
            sys.exit(77)
        assert done.returncode == 0, done.stderr
        cls.text = cls.page.read_text()
        cls.result = json.loads((cls.folder / "result.json").read_text())

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def data(self):
        found = re.findall(r'<script id="report-data" type="application/json">(.*?)</script>',
                           self.text, re.S)
        self.assertEqual(len(found), 1)
        return found[0], json.loads(found[0])

    def test_data_is_one_escaped_block(self):
        block, data = self.data()
        self.assertNotRegex(block, "[<>&]")
        self.assertEqual(self.text.count("<script"), 4)
        self.assertEqual(data["class_names"][0], f"0 {HOSTILE[0]}")
        self.assertTrue(any(HOSTILE[2] in image["name"] for image in data["validate"]["examples"]))
        told = dict(data["validate"])
        for field in ("images", "ann", "snn", "confusion", "classes", "site_rates", "settings"):
            self.assertEqual(told[field], self.result[field], field)

    def test_loads_nothing(self):
        bare = re.sub(r"<script>.*?</script>", "", self.text, flags=re.S)
        self.assertNotRegex(bare, r"(?i)\b(src|href)\s*=\s*[\"']?(?!#|data:)[^\s>]*:")
        self.assertIn("default-src 'none'", bare)

    def test_pictures_are_the_samples(self):
        """The network's view of a sample, its normalisation undone, is the sample."""
        _, data = self.data()
        wanted = {path.relative_to(self.samples).as_posix(): path
                  for path in self.samples.rglob("*.png")}
        for image in data["validate"]["examples"]:
            png = base64.b64decode(image["picture"].split(",", 1)[1])
            (self.folder / "one.png").write_bytes(png)
            shown = np.asarray(Image.open(self.folder / "one.png")).astype(int)
            stored = np.asarray(Image.open(wanted[image["name"]])).astype(int)
            self.assertLessEqual(np.abs(shown - stored).max(), 1, image["name"])

    def test_predictions_are_those_of_run(self):
        _, data = self.data()
        for image in data["validate"]["examples"][:3]:
            told = json.loads(must(TOOL, "run", self.spike, self.samples / image["name"],
                                   "--top", 1, "--json", "-"))["images"][0]["top"][0]
            self.assertEqual(told["class"], image["snn"]["class"])
            self.assertAlmostEqual(told["p"], image["snn"]["p"], 4)
            self.assertEqual(image["steps"][-1]["class"], image["snn"]["class"])
            self.assertEqual(image["modes"][0]["mode"], "balanced")
            self.assertTrue(image["modes"][0]["map"].startswith("data:image/png;base64,"))

    def test_pictures_are_run_as_it_was_validated(self):
        spike, page = self.folder / "refined.spike", self.folder / "refined.html"
        must(TOOL, "convert", MODEL, "--data", self.samples, "--calib-images", 4, "--steps", 2,
             "--levels", 2, "--mirror", "off", "--refine", 0.3, "-o", spike)
        energies = []
        for refine in ([], ["--refine", "off"]):
            told = json.loads(must(TOOL, "validate", spike, "--onnx", MODEL, "--data", self.samples,
                                   "--limit", 3, "--json", "-", "--report", page, *refine))
            block = re.search(r'type="application/json">(.*?)</script>', page.read_text(), re.S)
            images = json.loads(block[1])["validate"]["examples"]
            energies.append(told["snn"]["adaptive"][0]["energy_synaptic"])
            self.assertAlmostEqual(
                sum(image["modes"][0]["energy_synaptic"] for image in images) / 3, energies[-1])
        self.assertLess(energies[0], energies[1])

    def test_confusion_adds_up(self):
        images = sum(row["images"] for row in self.result["classes"])
        right = sum(row["images"] * (row["snn_top1"] or 0) for row in self.result["classes"])
        wrong = sum(pair["images"] for pair in self.result["confusion"]["snn"])
        self.assertEqual(images, self.result["images"])
        self.assertEqual(round(right) + wrong, images)
        self.assertAlmostEqual(right / images, self.result["snn"]["steps"][-1]["top1"])
        apart = sum(pair["images"] for pair in self.result["confusion"]["ann_snn"])
        self.assertEqual(apart, self.result["disagreements"]["images"])
        self.assertGreater(apart, 0)
        self.assertAlmostEqual(1 - apart / images, self.result["snn"]["steps"][-1]["agreement"])

    def test_whole_or_not_at_all(self):
        missing = self.folder / "nowhere" / "report.html"
        done = run(*self.command, "--report", missing)
        self.assertEqual(done.returncode, 10, done.stderr)
        self.assertTrue(done.stderr.strip().endswith("[IO]"), done.stderr)
        self.assertEqual(run(*self.command, "--report", "-").returncode, 2)
        self.assertEqual(run(*self.command, "--report", self.spike).returncode, 2)

    def test_page_in_chromium(self):
        if not CHROMIUM:
            self.skipTest("no chromium")
        probed = self.folder / "probed.html"
        probe = (HERE / "probe.js").read_text()
        probed.write_text(self.text.replace("</head>", f"<script>{probe}</script></head>", 1))
        for scheme in ("1", "0"):
            done = run(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu",
                       f"--user-data-dir={self.folder / 'profile'}", "--window-size=1000,800",
                       f"--blink-settings=preferredColorScheme={scheme}",
                       "--virtual-time-budget=5000", "--dump-dom", probed.as_uri())
            found = re.search(r'<html[^>]* data-probe="([^"]*)"', done.stdout)
            self.assertTrue(found, done.stderr[-2000:])
            self.check_probe(json.loads(html.unescape(found[1])))

    def check_probe(self, seen):
        self.assertEqual(seen["problems"], [])
        self.assertEqual(seen["requests"], [])
        self.assertEqual(seen["injected"], "undefined")
        self.assertEqual(seen["scripts"], 5)
        self.assertLessEqual(seen["overflow"], 0)
        self.assertGreaterEqual(len(seen["canvases"]), 5, seen["canvases"])
        for canvas in seen["canvases"]:
            self.assertTrue(canvas["label"])
            self.assertGreater(canvas["painted"], 0.005, canvas)
            self.assertGreater(canvas["colours"], 8, canvas)
        self.assertGreater(len(seen["images"]), 0)
        for width, height, words in seen["images"]:
            self.assertTrue(width and height and words)
        self.assertEqual(len(seen["headings"]), 10)
        self.assertTrue(any(HOSTILE[2] in line for line in seen["text"].splitlines()))
        for table in ("After every step, beside the source network", "Settings"):
            self.assertIn(table, seen["tables"])


unittest.main(argv=sys.argv[:1])
