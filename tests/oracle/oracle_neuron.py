# SPDX-License-Identifier: Apache-2.0
"""Neurons of a .spike, from docs/spikefile.md "Neuron": levels, thresholds, firing, codes.

Arrays of a site are ordered [images, rows, channels] here; numerators [images, rows, keys, heads],
so that the axis that levels belong to is always the last, and the one of token classes the second.
fire() computes in the type of its input: float32 gives the runtime's bits, float64 the free run.
"""
import numpy as np


class Levels:
    """Levels of every channel of a site in one token class at one step."""

    def __init__(self, site, params, t, token_class):
        step = params["steps"][t - 1]
        values = step["ladders"][token_class]["values"].astype(np.float32)
        gain = params["gain"][t - 1, token_class].astype(np.float32)
        most = 128 if params["code_form"] == "exponent" else 127
        self.step = site["unit"].astype(np.float32) * step["scale"][token_class]
        self.reciprocal = np.float32(1) / self.step
        self.reciprocal[gain == 0] = 0
        levels = np.rint(gain[:, None] * values[None, :])
        levels = np.clip(levels, -most, most).astype(np.int64)
        rule = params["fire_rule"]
        zone = np.float32(1) + np.float32(step["dead_zone"][token_class])
        self.positive, self.above = one_side(levels, rule, zone)
        self.negative, self.below = one_side(-levels[:, ::-1], rule, zone)
        self.negative, self.below = -self.negative, -self.below


def one_side(levels, rule, zone):
    """Positive levels of rows that rise: ([n, channels] with 0 first, [n - 1, channels] thresholds,
    infinite where a channel has fewer levels)."""
    channels, most = levels.shape
    keep = levels > 0
    keep[:, 1:] &= levels[:, 1:] != levels[:, :-1]
    count = keep.sum(1)
    n = int(count.max()) if channels else 0
    magnitude = np.zeros((n + 1, channels), np.int64)
    threshold = np.full((n, channels), np.inf)
    channel, column = np.nonzero(keep)
    rank = (np.cumsum(keep, 1) - 1)[channel, column]
    magnitude[rank + 1, channel] = levels[channel, column]
    for i in range(n):
        theta = (magnitude[i] + magnitude[i + 1]) / 2
        if rule == "ecmt":
            theta = magnitude[i + 1] - magnitude[1] / 2
        if i == 0:
            theta = np.rint(magnitude[1].astype(np.float32) * zone) / 2
        threshold[i, count > i] = theta[count > i]
    if n > 1:
        threshold[0] = np.minimum(threshold[0], threshold[1])
    return magnitude, threshold


def passed(p, thresholds, compare):
    """How many thresholds each potential has passed."""
    count = np.zeros(p.shape, np.uint8)
    for theta in thresholds:
        count += compare(p, theta.astype(p.dtype)).view(np.uint8)
    return count


def decide(p, table):
    """The integer levels that potentials [rows, channels] fire; a NaN fires nothing."""
    n = len(table.above)
    levels = np.concatenate([table.positive, table.negative[1:]]).astype(np.int16)
    index = passed(p, table.above, np.greater)
    below = passed(p, table.below, np.less)
    index += below + (below > 0).view(np.uint8) * np.uint8(n)
    return levels.reshape(-1)[index * np.intp(p.shape[1]) + np.arange(p.shape[1])]


class Neurons:
    """A site's neurons over the steps of some images."""

    def __init__(self, site, params, coding, dtype, tables=None):
        """tables: Levels found before, by (site, step, class); shared between runs."""
        self.site, self.params, self.dtype = site, params, dtype
        self.tables = {} if tables is None else tables
        self.is_rate = coding == "rate"
        self.rows = [np.flatnonzero(site["row_class"] == k)
                     for k in range(len(params["steps"][0]["ladders"]))]
        self.state = None

    def start(self, x):
        self.state = np.zeros(x.shape, self.dtype)
        if self.is_rate or self.site["kind"] == "numerator":
            return
        for k, rows in enumerate(self.rows):
            self.state[:, rows] = self.params["prior"][k].astype(self.dtype)

    def table(self, t, k):
        key = self.site["name"], t, k
        if key not in self.tables:
            self.tables[key] = Levels(self.site, self.params, t, k)
        return self.tables[key]

    def fire(self, t, x):
        """x_t -> integer levels, and what distances() needs."""
        if t == 1:
            self.start(x)
        level = np.zeros(x.shape, np.int16)
        potential = np.zeros(x.shape, self.dtype)
        channels = x.shape[-1]
        for k, rows in enumerate(self.rows):
            table = self.table(t, k)
            step, reciprocal = table.step.astype(self.dtype), table.reciprocal.astype(self.dtype)
            for image in range(len(x)):
                own, state = x[image, rows], self.state[image, rows]
                u = own * self.dtype(t) - state if self.is_rate else own - state
                p = u * reciprocal
                m = decide(p.reshape(-1, channels), table).reshape(p.shape)
                self.state[image, rows] = state + m.astype(self.dtype) * step
                level[image, rows], potential[image, rows] = m, p
        return level, potential

    def distances(self, t, potential, mask):
        """Of the potentials under a mask to their nearest threshold, in units of x; else 0."""
        found = np.zeros(mask.shape)
        at = np.array(np.nonzero(mask))
        for k, rows in enumerate(self.rows):
            table = self.table(t, k)
            own = tuple(at[:, np.isin(at[1], rows)])
            if not len(own[0]):
                continue
            bounds = np.concatenate([table.above, table.below])[:, own[-1]]
            gap = np.abs(potential[own] - bounds).min(0) * table.step[own[-1]]
            found[own] = gap / t if self.is_rate else gap
        return found


def levels_of_codes(params, code):
    """Integer levels of int8 codes."""
    code = code.astype(np.int16)
    if params["code_form"] == "level":
        return code
    return np.where(code == 0, 0, np.sign(code) * (1 << np.maximum(np.abs(code) - 1, 0)))


def codes_of_levels(params, level):
    if params["code_form"] == "level":
        return level.astype(np.int8)
    exponent = np.log2(np.maximum(np.abs(level), 1)).astype(np.int16) + 1
    return np.where(level == 0, 0, np.sign(level) * exponent).astype(np.int8)
