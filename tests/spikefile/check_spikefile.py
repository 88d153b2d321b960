# SPDX-License-Identifier: Apache-2.0
"""check_spikefile.py SPIKE_TOOL: NumPy and the second reader see in a .spike what the C side wrote;
archives that are put together wrongly are refused by name; descriptions that are broken under a valid
checksum are refused without a crash."""
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import warnings
import zipfile
import zlib

try:
    import numpy as np
except ImportError:
    print("skipped: NumPy is missing")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import read_spike  # noqa: E402

warnings.filterwarnings("ignore", message="Duplicate name")
TOOL = sys.argv[1]
STATUS = {0, 3, 10, 20, 30, 40, 50, 60}
failures = []
checks = 0


def expect(condition, text):
    global checks
    checks += 1
    if not condition:
        failures.append(text)
        print("failed:", text)


def tool(*args):
    done = subprocess.run([TOOL, *args], capture_output=True, text=True, errors="replace")
    return done.returncode, done.stdout, done.stderr


def crc(array, dtype):
    return f"{zlib.crc32(np.ascontiguousarray(array, dtype).tobytes()):08x}"


def padded(values, n, dtype):
    return crc(list(values) + [0] * (n - len(values)), dtype)


def none(x):
    return read_spike.NONE if x is None else x


def as_g(x):
    return "%.9g" % float(x)


def dump(spike):
    """The lines of `spike_tool dump`."""
    graph = spike["graph"]
    yield (f"graph {graph['batch']} {int(graph['batch_fixed'])} {graph['opset']} "
           f"{graph['source_sha256']} {graph['producer']} in {crc(graph['inputs'], '<u4')} "
           f"out {crc(graph['outputs'], '<u4')}")
    types = {"float32": "<f4", "int64": "<i8", "bool": "|b1"}
    for v in graph["values"]:
        data = ""
        if v["constant"] is not None:
            expect(list(v["constant"].shape) == v["shape"], f"shape of constant {v['name']}")
            data = f" data {crc(v['constant'], types[v['dtype']])}"
        yield f"value {v['name']} {v['dtype']} shape {crc(v['shape'], '<i8')}{data}"
    for n in graph["nodes"]:
        a = n["attr"]
        yield (f"node {n['op']} {n['name']} {n['onnx_op']} "
               f"in {crc([none(i) for i in n['inputs']], '<u4')} out {crc(n['outputs'], '<u4')} "
               f"axes {crc(a['axes'], '<i8')} starts {padded(a['starts'], 8, '<i8')} "
               f"steps {padded(a['steps'], 8, '<i8')} pads {padded(a['pads'], 4, '<i8')} "
               f"strides {padded(a['strides'], 2, '<i8')} "
               f"dilations {padded(a['dilations'], 2, '<i8')} rows {crc(a['rows'], '<u4')} "
               f"factor {padded(a['factor'], 8, '<f4')} {a['axis']} {a['groups']} {a['mode']} "
               f"{as_g(a['epsilon'])} {as_g(a['alpha'])} {as_g(a['beta'])} {as_g(a['scale'])} "
               f"{a['heads']}")
    yield f"classes {spike['token_classes']}"
    for s in spike["sites"]:
        order = [] if s["order"] is None else s["order"]
        yield (f"site {s['name']} {s['kind']} {none(s['input'])} {none(s['node'])} {s['rows']} "
               f"{s['channels']} {s['keys']} {int(s['is_head'])} {s['groups']} {s['group_size']} "
               f"row_class {crc(s['row_class'], '|u1')} unit {crc(s['unit'], '<f4')} "
               f"order {crc(order, '<u4')} source {crc(s['source_row'], '<u4')} "
               f"{s['source_rows']}")
    for x in spike["linears"]:
        yield (f"linear {x['node']} {x['site']} {x['outputs']} {x['weight_bits']} "
               f"weight {crc(x['weight'], x['weight'].dtype)} scale {crc(x['scale'], '<f4')}")
    for a in spike["attentions"]:
        yield (f"attention {a['node']} {a['query']} {a['key']} {a['value']} {a['numerator']} "
               f"{int(a['is_quotient'])} {int(a['is_max_fixed'])}")
    for s in spike["analog_sites"]:
        yield (f"analog {s['name']} {s['kind']} {none(s['input'])} {none(s['node'])} {s['rows']} "
               f"{s['channels']} {s['keys']}")
    for p in spike["points"]:
        coding = ["differential", "rate"].index(p["coding"])
        yield f"point {p['name']} {coding} {p['steps']} {p['levels']}"
        if p["merged_pairs"]:
            yield " ".join(map(str, ["merging", p["special_tokens"], *p["merged_pairs"]]))
        if p["refine_share"]:
            yield "refining %.9g" % p["refine_share"]
        for params in p["sites"]:
            rule = ["nearest", "ecmt"].index(params["fire_rule"])
            form = ["level", "exponent"].index(params["code_form"])
            yield f"params {rule} {form} prior {crc(params['prior'], '<f4')}"
            for t, step in enumerate(params["steps"]):
                ladders = " ".join(f"{x['kind']} {crc(x['values'], '<f4')}" for x in step["ladders"])
                yield (f"step {step['shift']} scale {crc(step['scale'], '<f4')} "
                       f"gain {crc(params['gain'][t], '<f4')} "
                       f"offset {crc(params['offset'][t], '<f4')} {ladders}")
        for bias in p["biases"]:
            yield f" bias {crc(bias, '<f4')}"
        yield f"exit {p['exit_kind']}"
        for x in p["exits"]:
            net = x["net"] or {"inputs": 0, "hidden": 0}
            parts = " ".join(f"{name} {crc(net[name], '<f4')}"
                             for name in ("weight_in", "bias_in", "weight_out", "bias_out")
                             if name in net)
            yield (f"policy {x['kind']} {net['inputs']} {net['hidden']} temperature "
                   f"{crc(x['temperature'], '<f4')} threshold {crc(x['threshold'], '<f4')} "
                   f"{parts}").rstrip()
    yield "cost {linear} {product} {stem} {head}".format(**spike["ann_cost"])
    x = spike["preprocess"]
    yield (f"preprocess {x['resize']} {x['crop_height']} {x['crop_width']} {x['interpolation']} "
           f"{x['channels']} mean {crc(x['mean'], '<f4')} std {crc(x['std'], '<f4')}")
    for name in spike["class_names"]:
        yield f"class {name}"
    x = spike["provenance"]
    yield (f"provenance {x['tool']} {x['settings']} {x['seed']} "
           f"calibration {crc(x['calibration'], '|u1')}")


def members(path):
    with zipfile.ZipFile(path) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def store(path, entries, how=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=how)


def with_description(entries, description):
    text = f"{hashlib.sha256(description).hexdigest()}  transpike.pb\n".encode()
    return [("transpike.pb", description), ("transpike.pb.sha256", text)] + entries[2:]


def check_agreement(folder):
    for seed in (*range(8), 32, 64, 71):
        path, again = os.path.join(folder, f"{seed}.spike"), os.path.join(folder, "again.spike")
        expect(tool("write", str(seed), path)[0] == 0, f"seed {seed} is written")
        expect(tool("write", str(seed), again)[0] == 0, f"seed {seed} is written again")
        with open(path, "rb") as a, open(again, "rb") as b:
            expect(a.read() == b.read(), f"seed {seed} gives the same bytes twice")
        code, text, error = tool("dump", path)
        expect(code == 0, f"seed {seed} is read: {error}")
        ours, theirs = list(dump(read_spike.read(path))), text.rstrip("\n").split("\n")
        expect(len(ours) == len(theirs), f"seed {seed}: {len(ours)} lines, not {len(theirs)}")
        for a, b in zip(ours, theirs):
            expect(a == b, f"seed {seed}: {a!r} is {b!r}")
        with np.load(path) as arrays:
            tensors = [name for name in arrays.files if not name.startswith("transpike.pb")]
            expect(len(tensors) > 100, f"numpy.load lists {len(tensors)} tensors")
            expect(all(isinstance(arrays[name], np.ndarray) for name in tensors),
                   "numpy.load reads every tensor")


def refused(path, status, name, what):
    code, _, error = tool("read", path)
    expect(code == status and error.count("\n") == 1 and name in error and path in error,
           f"{what}: exit {code}, expected {status} and {name}: {error.strip()}")


def check_archives(folder, entries):
    path = os.path.join(folder, "broken.spike")
    rng = random.Random(5)
    for i in [0, 1, 2, len(entries) - 1] + rng.sample(range(3, len(entries) - 1), 20):
        name = entries[i][0]
        store(path, entries[:i] + entries[i + 1:])
        refused(path, 20, name, f"without {name}")
        store(path, entries[:i + 1] + entries[i:])
        refused(path, 20, name, f"{name} twice")
        store(path, entries + [entries[i]])
        refused(path, 20, name, f"{name} again at the end")
        if i + 1 < len(entries):
            store(path, entries[:i] + [entries[i + 1], entries[i]] + entries[i + 2:])
            refused(path, 20, name, f"{name} after the next")
        store(path, entries[:i] + [(name, entries[i][1] + b"x")] + entries[i + 1:])
        refused(path, 20, "transpike.pb" if i < 2 else name, f"{name} longer")
        store(path, entries[:i] + [(name, entries[i][1][:-1])] + entries[i + 1:])
        refused(path, 20, "transpike.pb" if i < 2 else name, f"{name} shorter")
        data = bytearray(entries[i][1])
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        store(path, entries[:i] + [(name, bytes(data))] + entries[i + 1:])
        code, _, error = tool("read", path)
        expect(code in (20, 30, 40, 60) and name.split(".sha256")[0] in error, f"{name} damaged: {error}")
    store(path, entries + [("more.npy", b"x")])
    refused(path, 20, "more.npy", "a member too many")
    store(path, [("x" * 200, b"x")] + entries)
    refused(path, 20, "96", "a long name")
    store(path, entries)
    expect(tool("read", path)[0] == 0, "zipfile's archive of the same members is read")
    store(path, [])
    refused(path, 20, "not a spike graph", "an empty archive")
    big = with_description(entries, b"\0" * (64 * 1024 * 1024 + 1))
    store(path, big)
    refused(path, 60, "transpike.pb", "a description over the limit")
    store(path, with_description(entries, b"\x08\x01" + b"\0" * (1 << 20)), zipfile.ZIP_DEFLATED)
    refused(path, 20, "transpike.pb", "a member larger than the file")


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def check_descriptions(folder, entries):
    path = os.path.join(folder, "description.spike")
    description = entries[0][1]

    def try_one(text, status, name, what, extra=()):
        store(path, with_description(entries, text) + list(extra))
        if status:
            refused(path, status, name, what)
        else:
            code, _, error = tool("read", path)
            expect(code == 0, f"{what}: {error}")

    # the last of several values of a field counts
    unknown = varint(1000 << 3 | 2) + varint(5) + b"later"
    try_one(description + unknown, 0, "", "an unknown field")
    try_one(description + b"\x10\x01", 0, "", "a newer minor version")
    try_one(description + b"\x10\x01", 0, "", "a newer minor version's member",
            [("later/thing.npy", b"x")])
    try_one(description + b"\x08\x02", 30, "version 2.0", "a newer major version")
    try_one(description + b"\x08\x00", 20, "version", "no version")
    try_one(description + varint(1000 << 3 | 3) * 1000, 20, "transpike.pb", "unknown groups")
    try_one(b"", 20, "version", "an empty description")
    try_one(b"\x08\x01", 20, "graph", "no graph")
    try_one(description + b"\x20\x09", 60, "token classes", "9 token classes")
    try_one(description + b"\x2a\x00", 20, "row_class", "a site too many")
    try_one(description + b"\x32\x00", 30, "weights of 0 bits", "a linear too many")
    try_one(description + b"\x3a\x00", 20, "attention 2", "an attention too many")
    try_one(description + b"\x42\x00", 40, "0 steps", "a point too many")
    try_one(description + b"\x2a\x00" * 70000, 60, "transpike.pb", "too many sites")
    try_one(description + b"\x2a\x00" * 4000000, 60, "transpike.pb", "a message that unfolds")
    rng = random.Random(6)
    refusals = 0
    for i in range(300):
        text = bytearray(description)
        for _ in range(rng.randrange(1, 4)):
            text[rng.randrange(len(text))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        store(path, with_description(entries, bytes(text)))
        code, _, error = tool("read", path)
        expect(code in STATUS, f"seed 6, mutation {i}: exit {code}: {error}")
        refusals += code != 0
    print(f"{refusals} of 300 mutated descriptions refused")


with tempfile.TemporaryDirectory() as folder:
    check_agreement(folder)
    entries = members(os.path.join(folder, "0.spike"))
    check_archives(folder, entries)
    check_descriptions(folder, entries)
print(f"{checks} checks, {len(failures)} failures")
sys.exit(1 if failures else 0)
