#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of the documents: check_docs.py PACKAGE_DIR TRANSPIKE SOURCE_DIR.

Every fenced block of README.md and docs/ that is marked `sh` or `python`, or that starts with
`transpike` or `$ transpike`, is run, in the order of its document, on the Fashion-MNIST sample under
the names that the documents use. The blocks of a document share its files and its Python variables.
A block after `$` also shows what the command prints, which is compared. SUBSTITUTIONS makes large
things small; NOT_RUN names the blocks that cannot run here, with the reason. Skips (77) without
numpy, pillow or the data.
"""

import gzip
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings

FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
PHOTOS = 5

NOT_RUN = [
    # document, text in the block, reason
    ("README.md", "git clone", "is how this tree came here, and test.sh itself"),
    ("docs/tutorial.md", "pip install", "the package is tested from the build folder"),
    ("docs/tutorial.md", "import timm", "timm and its weights come from the network"),
    ("docs/cli.md", "MODEL.onnx --data DATA", "a synopsis"),
    ("docs/cli.md", "pkg-config", "needs an installed library: tests/install runs it"),
    ("docs/oracle.md", "check_oracle.py", "suite oracle runs it"),
    ("docs/adaptive.md", "bench_exit vit_tiny.onnx", "a measurement on ViT-Tiny"),
    ("docs/adaptive.md", "-o f.spike", "a measurement on 70,000 images"),
]
NEEDS_TORCH = ("docs/python.md", "import torch")

SUBSTITUTIONS = [
    (r"samples/fashion_vit\.onnx", "vit.onnx"),
    (r"\$fashion/\S+", "photos/"),
    (r"--skip 128", "--skip 2"),
    (r"skip=128", "skip=2"),
    (r"--resize 248 --crop 224", "--resize 30 --crop 28"),
    (r"resize=248, crop=224", "resize=30, crop=28"),
    (r"0\.5,0\.5,0\.5", "0.5"),
    (r"--max-loss 1\.0( --time-budget \w+)?", "--max-loss 1.0 --time-budget 1s --levels 2 --steps 2"),
    (r"max_loss=0\.5", "max_loss=0.5, time_budget=1, levels=2, steps=2"),
    (r"transpike( +)convert ", r"transpike\1convert --mirror off "),
    (r"out=\"", 'mirror=False, out="'),
    (r" pixels=images\.npy mask=mask\.npy", " image=batch.npy"),
]


def read_idx(name, offset):
    import numpy as np

    with gzip.open(FASHION / name) as file:
        return np.frombuffer(file.read(), np.uint8)[offset:]


def make_files(folder, source):
    """The names that the documents use; returns the Python variables."""
    import numpy as np
    from PIL import Image

    images = read_idx("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)[:PHOTOS].copy()
    labels = read_idx("t10k-labels-idx1-ubyte.gz", 8)[:PHOTOS].astype(np.int64)
    x = (images[:, None] / 255).astype(np.float32)
    (folder / "photos").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / "photos" / f"{i}.png")
    rows = [f"{i}.png,{label}" for i, label in enumerate(labels)]
    (folder / "photos" / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    for name in ("imagenet", "imagenet-sample"):
        (folder / name).symlink_to("photos")
    Image.fromarray(images[0]).save(folder / "cat.jpg")
    Image.fromarray(images[1]).save(folder / "dog.png")
    np.save(folder / "batch.npy", x)
    np.savez(folder / "test.npz", images=images, labels=labels)
    (folder / "names.txt").write_text("".join(f"class {i}\n" for i in range(10)))
    for name in ("vit.onnx", "model.onnx", "torchscript_op17.onnx"):
        shutil.copy(source / "samples" / "fashion_vit.onnx", folder / name)
    for name in ("tests", "samples"):
        (folder / name).symlink_to(source / name)
    return {"images": images, "labels": labels, "x": x}


def torch_variables():
    import torch

    class Module(torch.nn.Module):
        """A Vision Transformer with random weights."""

        def __init__(self):
            super().__init__()
            self.patch = torch.nn.Conv2d(1, 16, 7, 7)
            layer = torch.nn.TransformerEncoderLayer(
                16, 2, 32, activation="gelu", batch_first=True, norm_first=True
            )
            self.blocks = torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
            self.head = torch.nn.Linear(16, 10)

        def forward(self, image):
            tokens = self.patch(image).flatten(2).transpose(1, 2)
            return self.head(self.blocks(tokens).mean(1))

    torch.manual_seed(0)
    images = torch.rand(4, 1, 28, 28)
    return {"module": Module(), "loader": [(images, torch.arange(4))]}


def blocks_of(text):
    """(line, language, code) of the blocks that are commands."""
    for match in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.S | re.M):
        language, code = match.groups()
        is_command = re.match(r"(\$ )?transpike ", code)
        if language in ("sh", "python") or (language == "" and is_command):
            yield text[: match.start()].count("\n") + 2, language or "sh", code


def substitute(code):
    for pattern, replacement in SUBSTITUTIONS:
        code = re.sub(pattern, replacement, code)
    return code


def run_shell(code, folder):
    if code.startswith("$ "):
        command, _, expected = code[2:].partition("\n")
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return None if done.stdout == expected else f"printed {done.stdout!r}"
    done = subprocess.run(
        ["sh", "-eu", "-c", code], cwd=folder, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return None if done.returncode == 0 else f"exit code {done.returncode}:\n{done.stdout}"


def run_python(code, variables):
    try:
        exec(compile(code, "block", "exec"), variables)
    except Exception:
        return traceback.format_exc()
    return None


def reason_not_to_run(document, code):
    for entry in NOT_RUN:
        if entry[0] == document and entry[1] in code:
            return entry
    return None


def run_document(document, text, folder, shared, used):
    """Number of blocks that failed and that ran."""
    failed = ran = 0
    variables = dict(shared)
    for name in ("vit.spike", "model.spike"):
        shutil.copy(folder / "base.spike", folder / name)
    for line, language, code in blocks_of(text):
        entry = reason_not_to_run(document, code)
        if entry:
            used.add(entry)
            continue
        if NEEDS_TORCH[0] == document and NEEDS_TORCH[1] in code:
            if importlib.util.find_spec("torch") is None:
                print(f"{document}:{line}: not run: no Python module torch")
                continue
            variables.update(torch_variables())
        code = substitute(code)
        problem = run_python(code, variables) if language == "python" else run_shell(code, folder)
        ran += 1
        if problem:
            failed += 1
            print(f"{document}:{line}: {problem}\n--- as it ran:\n{code}", file=sys.stderr)
    return failed, ran


def check_interface(source):
    """Calls that docs/api.md names and no public header has."""
    headers = "".join(path.read_text() for path in (source / "include").rglob("*.h"))
    named = set(re.findall(r"\b(tspk_\w+)\(\)", (source / "docs" / "api.md").read_text()))
    return sorted(name for name in named if not re.search(rf"\b{name}\(", headers))


def main():
    package, command, source = sys.argv[1:]
    source = pathlib.Path(source)
    for module in ("numpy", "PIL"):
        if importlib.util.find_spec(module) is None:
            print(f"skipped: no Python module {module}", file=sys.stderr)
            return 77
    if not FASHION.exists():
        print(f"skipped: no {FASHION} (Debian package dataset-fashion-mnist)", file=sys.stderr)
        return 77
    sys.path.insert(0, package)
    os.environ["PYTHONPATH"] = package
    os.environ["PATH"] = os.path.dirname(os.path.abspath(command)) + os.pathsep + os.environ["PATH"]
    warnings.simplefilter("ignore")
    documents = [source / "README.md", *sorted((source / "docs").rglob("*.md"))]
    failed = ran = 0
    used = set()
    with tempfile.TemporaryDirectory(prefix="transpike-docs-") as name:
        folder = pathlib.Path(name)
        shared = make_files(folder, source)
        problem = run_shell(
            "transpike convert vit.onnx --data photos/ --mirror off --steps 3 -o base.spike", folder
        )
        if problem:
            print(problem, file=sys.stderr)
            return 1
        os.chdir(folder)
        for path in documents:
            document = str(path.relative_to(source))
            result = run_document(document, path.read_text(), folder, shared, used)
            failed, ran = failed + result[0], ran + result[1]
        os.chdir(source)
    for name in check_interface(source):
        print(f"docs/api.md: no header has {name}()", file=sys.stderr)
        failed += 1
    for entry in NOT_RUN:
        if entry not in used:
            print(f"NOT_RUN names no block: {entry[0]}: {entry[1]}", file=sys.stderr)
            failed += 1
    print(f"{ran} blocks of {len(documents)} documents ran, {failed} failed")
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
