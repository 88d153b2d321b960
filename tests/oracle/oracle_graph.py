# SPDX-License-Identifier: Apache-2.0
"""The operators of the graph in a .spike (core/op.h), in float64, over several images at once.

The graph binds the batch to 1; here every array has one more axis in front, of the images: its size
is their number, or 1 for what is the same for all of them.
"""
import math

import numpy as np

STEP = 1 / 512
CENTRE = np.arange(-6 * 512, 6 * 512 + 1) * STEP
ERF = np.array([math.erf(x) for x in CENTRE])
SLOPE = 2 / math.sqrt(math.pi) * np.exp(-CENTRE * CENTRE)


def erf(x):
    """Taylor about the nearest of a table of math.erf; the error is below 1e-15."""
    x = np.clip(x, -6, 6)
    i = np.rint(x / STEP).astype(np.int64) + 6 * 512
    c = CENTRE[i]
    d = x - c
    rest = 1 - c * d + (4 * c * c - 2) / 6 * d * d - (8 * c * c * c - 12 * c) / 24 * d * d * d
    return ERF[i] + SLOPE[i] * d * rest


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def gelu(x, mode):
    if mode == 0:
        return 0.5 * x * (1 + erf(x / math.sqrt(2)))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


UNARY = {
    "Identity": lambda x, a: x, "Neg": lambda x, a: -x, "Abs": lambda x, a: np.abs(x),
    "Exp": lambda x, a: np.exp(x), "Log": lambda x, a: np.log(x), "Sqrt": lambda x, a: np.sqrt(x),
    "Reciprocal": lambda x, a: 1 / x, "Erf": lambda x, a: erf(x), "Sin": lambda x, a: np.sin(x),
    "Cos": lambda x, a: np.cos(x), "Tanh": lambda x, a: np.tanh(x),
    "Sigmoid": lambda x, a: sigmoid(x), "Relu": lambda x, a: np.maximum(x, 0),
    "Clip": lambda x, a: np.clip(x, a["alpha"], a["beta"]),
    "HardSigmoid": lambda x, a: np.clip(a["alpha"] * x + a["beta"], 0, 1),
    "HardSwish": lambda x, a: x * np.clip(x / 6 + 0.5, 0, 1),
    "Gelu": lambda x, a: gelu(x, a["mode"]),
    "Silu": lambda x, a: x * sigmoid(float(a["alpha"]) * x),
}
BINARY = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide,
          "Pow": np.power, "Min": np.minimum, "Max": np.maximum}
REDUCE = {"ReduceMean": np.mean, "ReduceSum": np.sum, "ReduceMax": np.max, "ReduceMin": np.min,
          "ReduceProd": np.prod,
          "ReduceL2": lambda x, axis: np.sqrt((x * x).sum(axis))}


def padded(values, rank):
    return list(values) + [0] * (rank - len(values))


def align(*arrays):
    """Broadcasting counts from the last axis, but the images stay in front."""
    rank = max(x.ndim for x in arrays)
    return [x.reshape(x.shape[:1] + (1,) * (rank - x.ndim) + x.shape[1:]) for x in arrays]


def move(op, a, x, shape):
    if op == "Reshape":
        return x[0].reshape(len(x[0]), *shape)
    if op == "Transpose":
        return x[0].transpose(0, *(i + 1 for i in a["axes"]))
    if op == "Slice":
        starts, steps = padded(a["starts"], len(shape)), padded(a["steps"], len(shape))
        for axis, (first, step, n) in enumerate(zip(starts, steps, shape)):
            x = [np.take(x[0], first + step * np.arange(n), axis + 1)]
        return x[0]
    if op == "Concat":
        images = max(len(v) for v in x)
        return np.concatenate([np.broadcast_to(v, (images, *v.shape[1:])) for v in x],
                              a["axis"] + 1)
    if op == "Gather":
        if len(x[1]) != 1:
            raise ValueError("Gather by an index that differs between images")
        index = x[1][0].astype(np.int64)
        return np.take(x[0], np.where(index < 0, index + x[0].shape[a["axis"] + 1], index),
                       a["axis"] + 1)
    if op == "Expand":
        x, = x
        x = x.reshape(x.shape[:1] + (1,) * (len(shape) + 1 - x.ndim) + x.shape[1:])
        return np.broadcast_to(x, (len(x), *shape))
    if op == "Tile":
        return np.tile(x[0], (1, *(n // m for n, m in zip(shape, x[0].shape[1:]))))
    if op == "Pad":
        before = padded(a["starts"], len(shape))
        pads = [(b, n - m - b) for b, n, m in zip(before, shape, x[0].shape[1:])]
        return np.pad(x[0], [(0, 0), *pads], constant_values=float(a["alpha"]))
    return None


def normalise(op, a, x):
    axes = tuple(range(a["axis"] + 1, x[0].ndim))
    if op == "LayerNorm":
        y = x[0] - x[0].mean(axes, keepdims=True)
    else:
        y = x[0]
    y = y / np.sqrt((y * y).mean(axes, keepdims=True) + float(a["epsilon"]))
    for i, apply in ((1, np.multiply), (2, np.add)):
        if len(x) > i and x[i] is not None:
            y = apply(*align(y, x[i]))
    return y


def conv(a, x):
    """2-D, NCHW: patches gathered, one product."""
    image, weight = x[0], x[1][0]
    image = image.reshape(-1, *image.shape[-3:])
    top, left, bottom, right = padded(a["pads"], 4)
    image = np.pad(image, ((0, 0), (0, 0), (top, bottom), (left, right)))
    out, inner, height, width = weight.shape
    (sy, sx), (dy, dx), groups = a["strides"], a["dilations"], max(a["groups"], 1)
    rows = (image.shape[2] - dy * (height - 1) - 1) // sy + 1
    columns = (image.shape[3] - dx * (width - 1) - 1) // sx + 1
    y = np.zeros((len(image), out, rows, columns))
    each = out // groups
    for g in range(groups):
        part = image[:, g * inner:(g + 1) * inner]
        for i in range(height):
            for j in range(width):
                under = part[:, :, i * dy:i * dy + sy * (rows - 1) + 1:sy,
                             j * dx:j * dx + sx * (columns - 1) + 1:sx]
                y[:, g * each:(g + 1) * each] += np.einsum(
                    "ncyx,oc->noyx", under, weight[g * each:(g + 1) * each, :, i, j],
                    optimize=True)
    if len(x) > 2 and x[2] is not None:
        y += x[2][0][:, None, None]
    return y


def linear(a, x, shape):
    rows = x[0].reshape(len(x[0]), -1, x[0].shape[-1])
    if len(a["rows"]):
        rows = rows[:, a["rows"]]
    y = rows @ x[1][0].T
    if len(x) > 2 and x[2] is not None:
        y = y + x[2][0]
    return y.reshape(len(y), *shape)


def split_heads(x, heads):
    """[images, .., tokens, heads * d] -> [images, heads, tokens, d]"""
    x = x.reshape(len(x), x.shape[-2], heads, -1)
    return x.transpose(0, 2, 1, 3)


def join_heads(x):
    return x.transpose(0, 2, 1, 3).reshape(len(x), x.shape[2], -1)


def attention(a, x, shape):
    q, k, v = (split_heads(part, a["heads"]) for part in x[:3])
    l = float(a["scale"]) * (q @ k.transpose(0, 1, 3, 2))
    if len(x) > 3 and x[3] is not None:
        l = l + attention_bias(x[3])
    y = join_heads(softmax(l, -1) @ v)
    return y.reshape(len(y), *shape)


def attention_bias(bias):
    """[1, heads or 1, queries or 1, keys]"""
    bias = bias[0]
    return bias.reshape((1,) * (4 - bias.ndim) + bias.shape) if bias.ndim < 4 else bias


def evaluate(node, x, shape):
    """One node. x: its inputs, None where absent; shape: of its output, without the images."""
    op, a = node["op"], node["attr"]
    if op in UNARY:
        return UNARY[op](x[0], a)
    if op in BINARY:
        return BINARY[op](*align(*x))
    if op in REDUCE:
        y = REDUCE[op](x[0], axis=tuple(i + 1 for i in a["axes"]))
        return y.reshape(len(x[0]), *shape)
    if op in ("LayerNorm", "RmsNorm"):
        return normalise(op, a, x)
    if op == "Softmax":
        return softmax(x[0], a["axis"] + 1)
    if op == "MatMul":
        return np.matmul(*align(*x)).reshape(max(len(x[0]), len(x[1])), *shape)
    if op == "Linear":
        return linear(a, x, shape)
    if op == "Conv":
        y = conv(a, x)
        return y.reshape(len(x[0]), *shape)
    if op == "Attention":
        return attention(a, x, shape)
    y = move(op, a, x, shape)
    if y is None:
        raise NotImplementedError(f"the oracle does not know {op} (node {node['name']})")
    return y
