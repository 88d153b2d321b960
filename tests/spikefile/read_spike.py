# SPDX-License-Identifier: Apache-2.0
"""A second reader of .spike files, from docs/spikefile.md alone: NumPy and the standard library.

read(path) gives plain dicts and lists that follow the messages of the description, with every Tensor
replaced by its array. Beyond that:
  graph.nodes[i].inputs     value numbers, None where an input is absent
  sites[i].input, .node     None where there is none; `order` None but at linear sites
  points[p].sites[s]        steps[t].ladders[class] = {"kind", "values"}; `prior` [classes, channels] and
                            `offset` [steps, classes, channels] filled with zeros where absent
  enumerations              their names in lower case: "numerator", "differential", "exponent" …
Anything wrong with the file raises SpikeError.
"""
import hashlib
import io
import sys
import zipfile

import numpy as np

NONE = 0xFFFFFFFF

# Fields in order of their numbers, from 1: name:type, with * where repeated. u, i: unsigned and signed
# integer, B: bool, f: float32, s: text, b: bytes, a/b/…: enumeration, else a message.
SCHEMA = {
    "File": "version_major:u version_minor:u graph:Graph token_classes:u sites:Site* linears:Linear* "
            "attentions:Attention* points:Point* ann_cost:Cost preprocess:Preprocess class_names:s* "
            "provenance:Provenance analog_sites:AnalogSite*",
    "Tensor": "member:s dtype:s shape:u* sha256:b",
    "Graph": "values:Value* nodes:Node* inputs:u* outputs:u* batch:i batch_fixed:B opset:i "
             "source_sha256:s producer:s",
    "Value": "name:s dtype:none/float32/int64/bool shape:i* constant:Tensor",
    "Node": "op:s name:s onnx_op:s inputs:u* outputs:u* attr:Attr",
    "Attr": "axis:i axes:i* starts:i* steps:i* pads:i* strides:i* dilations:i* groups:i mode:i "
            "epsilon:f alpha:f beta:f scale:f heads:u rows:u* factor:f*",
    "Site": "name:s kind:linear/query/key/value/numerator input:u node:u rows:u channels:u keys:u "
            "is_head:B groups:u group_size:u row_class:Tensor unit:Tensor order:Tensor "
            "source_rows:u source_row:u*",
    "AnalogSite": "name:s kind:linear/query/key/value/numerator input:u node:u rows:u channels:u "
                  "keys:u",
    "Linear": "node:u site:u outputs:u weight_bits:u weight:Tensor scale:Tensor",
    "Attention": "node:u query:u key:u value:u numerator:u is_quotient:B is_max_fixed:B",
    "Point": "name:s coding:differential/rate steps:u levels:u sites:SiteParams* biases:Tensor* "
             "exits:Exit* exit_kind:none/confidence/entropy/margin/net "
             + 8 * "-:u " + "merged_pairs:u* special_tokens:u refine_share:f",
    "Exit": "kind:none/confidence/entropy/margin/net temperature:f* threshold:f* net:ExitNet",
    "ExitNet": "inputs:u hidden:u weight_in:Tensor bias_in:Tensor weight_out:Tensor bias_out:Tensor",
    "SiteParams": "fire_rule:nearest/ecmt code_form:level/exponent steps:Step* ladder:Tensor "
                  "gain:Tensor prior:Tensor offset:Tensor",
    "Step": "scale:f* shift:u ladder_kind:pow2/geometric/uniform/fitted/signed* ladder_levels:u* dead_zone:f*",
    "Cost": "linear:u product:u stem:u head:u",
    "Preprocess": "resize:u crop_height:u crop_width:u interpolation:u channels:u mean:f* std:f*",
    "Provenance": "tool:s settings:s seed:u calibration:Tensor",
}


class SpikeError(ValueError):
    pass


def check(condition, text):
    if not condition:
        raise SpikeError(text)


def varint(buf, at):
    value = shift = 0
    while True:
        check(at < len(buf) and shift < 70, "a broken number in the description")
        value |= (buf[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if buf[at - 1] < 128:
            return value & (1 << 64) - 1, at


def wire(buf):
    """(field number, wire type, value) of each field; value: integer or bytes."""
    at = 0
    while at < len(buf):
        key, at = varint(buf, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(buf, at)
        else:
            check(kind in (1, 2, 5), f"wire type {kind} in the description")
            n, at = varint(buf, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            check(n <= len(buf) - at, "the description is cut short")
            value, at = bytes(buf[at:at + n]), at + n
        yield key >> 3, kind, value


def scalars(kind, type_, value):
    """What a field holds: one element, or all of a packed array."""
    if type_ == "f":
        return list(np.frombuffer(value, "<f4"))
    if kind == 2:
        numbers, at = [], 0
        while at < len(value):
            number, at = varint(value, at)
            numbers.append(number)
    else:
        numbers = [value]
    if type_ == "i":
        return [n - (1 << 64) if n >> 63 else n for n in numbers]
    if type_ == "B":
        return [bool(n) for n in numbers]
    if "/" in type_:
        names = type_.split("/")
        check(all(n < len(names) for n in numbers), f"an unknown one of {type_}")
        return [names[n] for n in numbers]
    return numbers


def empty(type_):
    if "/" in type_:
        return type_.split("/")[0]
    return {"u": 0, "i": 0, "B": False, "f": np.float32(0), "s": "", "b": b""}.get(type_)


def parse(buf, message, load):
    fields = [field.rstrip("*").split(":") + [field.endswith("*")]
              for field in SCHEMA[message].split()]
    out = {name: [] if repeated else empty(type_) for name, type_, repeated in fields}
    nested = []
    for number, kind, value in wire(buf):
        if not 1 <= number <= len(fields):
            continue
        name, type_, repeated = fields[number - 1]
        if type_ in SCHEMA:
            nested.append((number, name, type_, repeated, value))
            continue
        if type_ == "s":
            found = [value.decode()]
        elif type_ == "b":
            found = [value]
        else:
            found = scalars(kind, type_, value)
        out[name] = out[name] + found if repeated else found[-1]
    for number, name, type_, repeated, value in sorted(nested, key=lambda field: field[0]):
        inner = parse(value, type_, load)
        inner = load(inner) if type_ == "Tensor" else inner
        if repeated:
            out[name].append(inner)
        else:
            out[name] = inner
    return out


def finish(spike):
    """Absent numbers become None, absent arrays zeros, ladders arrays of their own."""
    for node in spike["graph"]["nodes"]:
        node["inputs"] = [None if i == NONE else i for i in node["inputs"]]
        node["attr"]["rows"] = np.array(node["attr"]["rows"], np.int64)
    for site in spike["sites"] + spike["analog_sites"]:
        site["input"] = None if site["input"] == NONE else site["input"]
        site["node"] = None if site["node"] == NONE else site["node"]
    for point in spike["points"]:
        for site, params in zip(spike["sites"], point["sites"]):
            shape = (spike["token_classes"], site["channels"])
            if params["prior"] is None:
                params["prior"] = np.zeros(shape, np.float32)
            if params["offset"] is None:
                params["offset"] = np.zeros((point["steps"], *shape), np.float32)
            joined = params.pop("ladder")
            for t, step in enumerate(params["steps"]):
                kinds, counts = step.pop("ladder_kind"), step.pop("ladder_levels")
                step["scale"] = np.array(step["scale"], np.float32)
                step["ladders"] = [{"kind": kinds[k], "values": joined[t, k, :counts[k]]}
                                   for k in range(spike["token_classes"])]
    return spike


def read(path):
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        check(names[:2] == ["transpike.pb", "transpike.pb.sha256"], f"{path}: not a spike graph")
        description = archive.read(names[0])
        text = f"{hashlib.sha256(description).hexdigest()}  transpike.pb\n"
        check(archive.read(names[1]) == text.encode(), f"{path}: transpike.pb is damaged")
        left = iter(names[2:])

        def load(tensor):
            name = next(left, None)
            check(name == tensor["member"], f"{path}: {tensor['member']}: found {name}")
            data = archive.read(name)
            check(hashlib.sha256(data).digest() == tensor["sha256"], f"{path}: {name} is damaged")
            array = np.load(io.BytesIO(data), allow_pickle=False)
            check(array.dtype == np.dtype(tensor["dtype"]) and list(array.shape) == tensor["shape"],
                  f"{path}: {name} has another type or shape than the description says")
            return array

        versions = {n: v for n, kind, v in wire(description) if n < 3}
        check(versions.get(1) == 1, f"{path}: format version {versions.get(1)}, expected 1")
        spike = parse(description, "File", load)
        check(versions.get(2, 0) > 0 or next(left, None) is None, f"{path}: a member too many")
    return finish(spike)


if __name__ == "__main__":
    found = read(sys.argv[1])
    print(f"{len(found['graph']['nodes'])} nodes, {len(found['sites'])} sites, "
          f"{len(found['linears'])} linears, points {[p['name'] for p in found['points']]}")
