# SPDX-License-Identifier: Apache-2.0
"""Real exports through the importer and the passes: outputs equal the stored ones within 1e-4 of the
largest (4.1e-3 for half precision, where onnxruntime rounds and float32 does not), every attention is
found, no norm and no GELU is left decomposed. Needs TRANSPIKE_DATA; standard library only."""
import csv
import os
import re
import subprocess
import sys

FAMILIES = ("timm-cls", "hand-min", "hf-vit__", "tv-vit")
REFUSED = {"hand-min__legacy+ortall__op17__b1"}  # operators of one CPU type


def run(tool, *args):
    done = subprocess.run([tool, *args], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def fields(line):
    return dict(part.split("=", 1) for part in line.split())


def times(text):
    """'... x2 | ...' -> 3; a bare Relu is no GELU."""
    total = 0
    for item in text.split(" | "):
        count = re.search(r" x(\d+)$", item)
        if item and item != "Relu":
            total += int(count.group(1)) if count else 1
    return total


def check_case(tool, folder, row):
    code, out, err = run(tool, os.path.join(folder, "model.onnx"),
                         "--inputs", os.path.join(folder, "inputs.npy"),
                         "--output", os.path.join(folder, "output.npy"))
    if row["case"] in REFUSED:
        return None if code and "[UNSUPPORTED]" in err else "is not refused"
    if code:
        return err
    got = fields(out)
    limit = 4.1e-3 if "float16" in row["dtype"].lower() else 1e-4
    wanted = times(row["attention"])
    if float(got["difference"]) > limit:
        return "difference %s" % got["difference"]
    if got["convertible"] != "OK":
        return "is not convertible: %s" % got["convertible"]
    if int(got.get("Attention", 0)) != wanted:
        return "%s attentions, expected %d" % (got.get("Attention", 0), wanted)
    if int(got.get("LayerNorm", 0)) != times(row["layernorm"]):
        return "%s norms, expected %d" % (got.get("LayerNorm", 0), times(row["layernorm"]))
    if int(got.get("Gelu", 0)) != times(row["activation"]):
        return "%s GELUs, expected %d" % (got.get("Gelu", 0), times(row["activation"]))
    for op in ("Softmax", "MatMul", "Erf", "Sqrt", "Tanh", "ReduceMean"):
        # the mean of average pooling stays
        if op in got and not (op == "ReduceMean" and got[op] == "1" and "minmean" in row["case"]):
            return "%s %s left" % (got[op], op)
    return None


def check_vit_tiny(tool, path):
    code, out, err = run(tool, path)
    if code:
        return err
    got = fields(out)
    expected = {"Attention": "12", "LayerNorm": "25", "Gelu": "12", "Linear": "73", "Conv": "1",
                "classes": "2", "convertible": "OK", "linear": "1045757952", "product": "178831872",
                "stem": "28901376", "head": "192000"}
    for key, value in expected.items():
        if got.get(key) != value:
            return "%s is %s, expected %s" % (key, got.get(key), value)
    if float(got["difference"]) > 1e-4:
        return "difference %s to the graph without passes" % got["difference"]
    return None


def main():
    data = os.environ.get("TRANSPIKE_DATA")
    tool = sys.argv[1]
    if not data:
        print("TRANSPIKE_DATA is not set: skipped")
        return 77
    corpus = os.path.join(data, "onnx-vit")
    failures = checked = 0
    with open(os.path.join(corpus, "MANIFEST.csv"), newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            folder = os.path.join(corpus, row["case"])
            if not row["case"].startswith(FAMILIES) or not os.path.isdir(folder):
                continue
            wrong = check_case(tool, folder, row)
            checked += 1
            if wrong:
                failures += 1
                print("%s: %s" % (row["case"], wrong))
    for name in ("torchscript_op17.onnx", "dynamo_op20.onnx"):
        path = os.path.join(data, "models", "vit_tiny_imagenet", name)
        wrong = check_vit_tiny(tool, path)
        checked += 1
        if wrong:
            failures += 1
            print("%s: %s" % (name, wrong))
    print("%d files, %d failures" % (checked, failures))
    return 1 if failures or checked == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
