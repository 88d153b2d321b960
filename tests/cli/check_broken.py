#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Samples that cannot be read: left out, named and counted, as if they were not there; refused with
--strict. Folders and WebDataset tars, whatever the threads.

usage: check_broken.py TRANSPIKE MODEL.onnx
"""
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

try:
    import numpy as np
    from PIL import Image
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

TOOL, MODEL = sys.argv[1:3]
N, SIDE = 24, 28
BROKEN = (2, 3, 11, 20)
# What no mode of the damage shares: nothing, half of a file, another format, a link to nowhere.
DAMAGE = {2: b"", 3: None, 11: b"GIF89a" + bytes(64), 20: "nowhere.png"}


def run(*words):
    return subprocess.run([TOOL, *map(str, words)], capture_output=True, text=True)


def png(i):
    pixels = np.random.default_rng(i).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def damaged(i):
    return png(i)[:200] if DAMAGE[i] is None else DAMAGE[i] if DAMAGE[i] != "nowhere.png" else b"?"


class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.mixed, cls.whole = cls.folder / "mixed", cls.folder / "whole"
        for home in (cls.mixed, cls.whole):
            home.mkdir()
            rows = ["file,label"]
            for i in range(N):
                path = home / f"{i:02}.png"
                if i not in BROKEN:
                    path.write_bytes(png(i))
                elif home == cls.whole:
                    continue
                elif DAMAGE[i] == "nowhere.png":
                    path.symlink_to(DAMAGE[i])
                else:
                    path.write_bytes(damaged(i))
                rows.append(f"{i:02}.png,{i % 10}")
            (home / "labels.csv").write_text("\n".join(rows) + "\n")
        cls.tar = cls.folder / "shard.tar"
        with tarfile.open(cls.tar, "w") as tar:
            for i in range(N):
                for name, content in ((f"{i:02}.png", damaged(i) if i in BROKEN else png(i)),
                                      (f"{i:02}.json", json.dumps({"label": i % 10, "w": 28}).encode())):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        cls.spike = cls.folder / "m.spike"
        cls.converted = run("convert", MODEL, "--data", cls.mixed, "--calib-images", 4, "--steps", 1,
                            "--levels", 2, "--mirror", "off", "--mean", 0.5, "--std", 0.5,
                            "-o", cls.spike, "--json", cls.folder / "c.json")
        assert cls.converted.returncode == 0, cls.converted.stderr

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def validate(self, data, *more):
        done = run("validate", self.spike, "--onnx", MODEL, "--data", data, "--json", "-", *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout), done.stderr

    def figures(self, result):
        step = result["snn"]["steps"][0]
        return result["images"], result["ann"]["top1"], [step[k] for k in ("top1", "agreement", "kl")]

    def test_left_out_named_and_counted(self):
        for data in (self.mixed, self.tar):
            results = [self.validate(data, "--threads", threads, "--batch", batch)
                       for threads, batch in ((1, 16), (2, 5))]
            for result, told in results:
                self.assertEqual(result["images"], N - len(BROKEN))
                self.assertEqual(result["skipped"]["images"], len(BROKEN))
                self.assertEqual(sorted(result["skipped"]["names"]), [f"{i:02}.png" for i in BROKEN])
                for i in BROKEN:
                    self.assertIn(f"{i:02}.png", told)
                self.assertIn("4 broken samples left out", told)
                self.assertEqual(self.figures(result), self.figures(results[0][0]))
                self.assertEqual(result["examples"], results[0][0]["examples"])

    def test_labels_from_json_are_those_of_the_table(self):
        folder, tar = (self.validate(data)[0] for data in (self.mixed, self.tar))
        self.assertEqual(self.figures(folder), self.figures(tar))
        self.assertEqual([image["label"] for image in folder["examples"]],
                         [image["label"] for image in tar["examples"]])

    def test_as_if_they_were_not_there(self):
        mixed, _ = self.validate(self.mixed)
        whole, told = self.validate(self.whole)
        self.assertEqual(whole["skipped"], {"names": [], "images": 0})
        self.assertNotIn("broken", told)
        self.assertAlmostEqual(mixed["snn"]["steps"][0]["kl"], whole["snn"]["steps"][0]["kl"], 12)
        self.assertEqual(mixed["ann"]["top1"], whole["ann"]["top1"])

    def test_skip_and_limit_count_what_can_be_read(self):
        everything, _ = self.validate(self.mixed)
        names = [image["name"] for image in everything["examples"]]
        some, _ = self.validate(self.mixed, "--skip", 5, "--limit", 7)
        self.assertEqual([image["name"] for image in some["examples"]], names[5:12])
        calibrated, _ = self.validate(self.mixed, "--skip", 4)
        self.assertEqual(calibrated["calibration_overlap"], 0)
        self.assertEqual(everything["calibration_overlap"], 4)

    def test_run(self):
        done = run("run", self.spike, self.mixed, "--json", "-", "--output", self.folder / "o.npy")
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual(len(told["images"]), N - len(BROKEN))
        self.assertEqual((told["skipped"]["images"], len(told["skipped"]["reasons"])), (4, 4))
        logits = np.load(self.folder / "o.npy")
        self.assertEqual(logits.shape, (N - len(BROKEN), 10))
        for image, row in zip(told["images"], logits):
            self.assertEqual(image["top"][0]["class"], int(row.argmax()), image["name"])
        pair = run("run", self.spike, self.mixed / "02.png", self.mixed / "04.png", "--json", "-")
        self.assertEqual([i["name"] for i in json.loads(pair.stdout)["images"]],
                         [str(self.mixed / "04.png")])
        alone = run("run", self.spike, self.mixed / "02.png")
        self.assertEqual(alone.returncode, 20, alone.stderr)

    def test_convert_tells(self):
        told = json.loads((self.folder / "c.json").read_text())["skipped"]
        self.assertEqual(len(told["reasons"]), told["images"])

    def test_strict(self):
        for words in (("validate", self.spike, "--onnx", MODEL, "--data", self.mixed),
                      ("run", self.spike, self.mixed)):
            done = run(*words, "--strict")
            self.assertIn(done.returncode, (10, 20, 30), done.stderr)
            self.assertEqual(done.stdout, "")
            self.assertTrue(any(f"{i:02}.png" in done.stderr for i in BROKEN), done.stderr)

    def test_nothing_left(self):
        for path in self.mixed.iterdir():
            if path.suffix == ".png" and int(path.stem) in BROKEN:
                (self.folder / "bad").mkdir(exist_ok=True)
                (self.folder / "bad" / path.name).write_bytes(damaged(int(path.stem)))
        done = run("validate", self.spike, "--onnx", MODEL, "--data", self.folder / "bad")
        self.assertEqual(done.returncode, 20, done.stderr)
        self.assertIn("4 broken", done.stderr)


unittest.main(argv=sys.argv[:1])
