# SPDX-License-Identifier: Apache-2.0
"""Exit policies in float64, docs/spikefile.md, "Exit": which step an image stops after, and how far
the decision is from another one."""
import numpy as np

NEAR = 1e-5  # a score this near to its threshold may fall either way


def log_p(logits, temperature):
    x = logits.astype(np.float64)
    x = (x - x.max(-1, keepdims=True)) / float(temperature)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def score(kind, logits, temperature):
    """[N, classes] -> [N]"""
    x = log_p(logits, temperature)
    p = np.exp(x)
    if kind == "confidence":
        return p.max(-1)
    if kind == "entropy":
        return 1 + (p * x).sum(-1) / np.log(p.shape[-1])
    top = -np.sort(-p, -1)
    return top[:, 0] - top[:, 1]


def cumulative(net, logits, temperature):
    """[N, classes] after step 1 -> [N, steps]"""
    x = -np.sort(-log_p(logits, temperature), -1)[:, :net["inputs"]]
    part = {name: net[name].astype(np.float64)
            for name in ("weight_in", "bias_in", "weight_out", "bias_out")}
    hidden = np.maximum(0, x @ part["weight_in"].T + part["bias_in"])
    z = hidden @ part["weight_out"].T + part["bias_out"]
    p = np.exp(z - z.max(-1, keepdims=True))
    return np.cumsum(p / p.sum(-1, keepdims=True), -1)


def stops(policy, logits, threshold=None):
    """Steps after which images stop, [N], from the logits after every step, and whether each decision
    is clear: no score that was asked for lies within NEAR of its threshold."""
    n, steps = len(logits[0]), len(logits)
    if policy["kind"] == "net":
        scores = list(cumulative(policy["net"], logits[0], policy["temperature"][0]).T[:-1])
        bounds = list(policy["threshold"]) * (steps - 1)
    else:
        scores = [score(policy["kind"], logits[t], policy["temperature"][t])
                  for t in range(steps - 1)]
        bounds = list(policy["threshold"])
    stop, is_clear = np.full(n, steps), np.ones(n, bool)
    for t in range(steps - 1):
        bound = float(bounds[t]) if threshold is None else threshold
        is_open = stop == steps
        is_clear &= ~(is_open & (np.abs(scores[t] - bound) < NEAR))
        stop[is_open & (scores[t] >= bound)] = t + 1
    return stop, is_clear
