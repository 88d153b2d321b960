# SPDX-License-Identifier: Apache-2.0
"""A spike graph in float64, docs/spikefile.md part 1: the graph on decoded values, step by step.

What the neurons fire comes from outside, from a dump or from neurons of the oracle's own.
"""
import math

import numpy as np

import oracle_graph
import oracle_merge
import oracle_refine


class Network:
    def __init__(self, spike, point=0):
        self.spike, self.graph = spike, spike["graph"]
        self.sites, self.point = spike["sites"], spike["points"][point]
        self.is_rate = self.point["coding"] == "rate"
        self.site_of = {s["input"]: i for i, s in enumerate(self.sites) if s["kind"] == "linear"}
        self.linear_of = {r["node"]: i for i, r in enumerate(spike["linears"])}
        self.attention_of = {r["node"]: r for r in spike["attentions"]}
        self.find_merges()
        self.share = self.point["refine_share"]
        self.weights = [self.real_weight(r) for r in spike["linears"]]

    def real_weight(self, record):
        """[outputs, channels] weight * scale, in the graph's order of channels."""
        site = self.sites[record["site"]]
        weight = record["weight"].astype(np.float64)
        scale = record["scale"].astype(np.float64)
        weight = weight * np.repeat(scale.T, site["group_size"], axis=1)
        order = site["order"].reshape(-1).astype(np.int64)
        used = order < site["channels"]
        out = np.zeros((len(weight), site["channels"]))
        out[:, order[used]] = weight[:, used]
        return out

    def find_merges(self):
        """Attention nodes after which tokens merge, and the Add of the residual behind each."""
        nodes = self.graph["nodes"]
        attentions = [i for i, node in enumerate(nodes) if node["op"] == "Attention"]
        pairs = self.point["merged_pairs"] or [0] * len(attentions)
        self.special = max([self.point["special_tokens"]] + [
            int(np.argmin(np.append(site["row_class"], 0) != 0))
            for site in self.sites if site["kind"] == "key"])
        self.merged = {i: n for i, n in zip(attentions, pairs) if n}
        self.merge_at, self.order, self.tokens = {}, sorted(self.merged), 0
        if attentions:
            self.tokens = self.graph["values"][nodes[attentions[0]]["inputs"][1]]["shape"][-2]
        for i in self.order:
            value, at = nodes[i]["outputs"][0], i
            while True:
                at = next(n for n in range(at + 1, len(nodes)) if value in nodes[n]["inputs"])
                node = nodes[at]
                value = node["outputs"][0]
                if node["op"] == "Add" and all(self.graph["values"][v]["constant"] is None
                                               for v in node["inputs"]):
                    break
            self.merge_at[at] = i
        self.merges_before = {}
        for s, site in enumerate(self.sites):
            node = site["node"]
            if node is None:
                node = min(r["node"] for r in self.spike["linears"] if r["site"] == s)
            self.merges_before[s] = sum(at < node for at in self.merge_at)

    def sizes_at(self, s, sizes):
        """[images, rows] sizes of a site's rows; sizes: [merges + 1] of [images, tokens]. None
        where all are 1."""
        site, merges = self.sites[s], self.merges_before[s]
        if not merges or site["rows"] != self.tokens:
            return None
        return sizes[merges]

    def rows_of(self, s):
        """Rows of a site that the network computes, but for what has merged."""
        rows = np.zeros(self.sites[s]["rows"], bool)
        if self.sites[s]["kind"] != "linear":
            return ~rows
        for record in self.spike["linears"]:
            if record["site"] == s:
                picked = self.graph["nodes"][record["node"]]["attr"]["rows"]
                rows[picked if len(picked) else slice(None)] = True
        return rows

    def kappa(self, s, t):
        """κ of each row of a product site."""
        step = self.point["sites"][s]["steps"][t - 1]
        return (step["scale"].astype(np.float64) * 2.0 ** step["shift"])[self.sites[s]["row_class"]]

    def offset(self, s, t):
        return self.point["sites"][s]["offset"][t - 1].astype(np.float64)

    def is_refining(self):
        return self.share > 0 and self.steps_to_run > 1

    def run(self, images, steps, fire, decide=None, refine=None):
        """Yields the first output after every step. fire(site, t, x) -> integer levels, both
        [images, rows, channels] or [images, rows, keys, heads] at numerators.
        decide(attention, image, own pairs) -> the token each token goes to, where some merge.
        refine(image, own choice) -> [tokens] which rows of the last space are computed from step 2
        on."""
        self.fire, self.decide, self.sums = fire, decide, {}
        self.steps_to_run, self.active = steps, None
        self.relevance = np.zeros((len(images), self.tokens))
        self.steps_of_merges, self.sizes = {}, [np.ones((len(images), self.tokens))]
        self.moving = set()
        value = {i: v["constant"][None] if v["dtype"] != "float32"
                 else v["constant"].astype(np.float64)[None]
                 for i, v in enumerate(self.graph["values"]) if v["constant"] is not None}
        value[self.graph["inputs"][0]] = images.astype(np.float64)[:, None]
        for t in range(1, steps + 1):
            self.t, self.n, self.fired = t, (t if self.is_rate else 1), {}
            if t == 2 and self.is_refining():
                self.choose_rows(refine)
            for i, node in enumerate(self.graph["nodes"]):
                self.step(i, node, value)
            out = value[self.graph["outputs"][0]]
            yield np.broadcast_to(out, (len(images), *out.shape[1:])).reshape(len(images), -1)

    def step(self, i, node, value):
        out = node["outputs"][0]
        is_spiking = i in self.linear_of or i in self.attention_of
        if i in self.merged and self.t == 1:
            self.choose_pairs(i, value[node["inputs"][1]])
        if is_spiking or any(v in self.moving for v in node["inputs"]):
            self.moving.add(out)
        elif out in value:
            return
        x = [None if v is None else value[v] for v in node["inputs"]]
        shape = self.graph["values"][out]["shape"]
        if i in self.linear_of:
            y = self.spike_linear(self.linear_of[i], node, x[0])
        elif i in self.attention_of:
            y = self.spike_attention(self.attention_of[i], node, x)
        else:
            y = oracle_graph.evaluate(node, x, shape)
        y = y.reshape(len(y), *shape)
        if i in self.merge_at:
            y = self.merge(self.merge_at[i], y)
        if self.active is not None and len(shape) > 1 and shape[-2] == self.tokens:
            held = np.broadcast_to(value[out], (len(self.active), *shape))
            rows = self.active.reshape(len(self.active), *(1,) * (len(shape) - 2), self.tokens, 1)
            y = np.where(rows, y, held)
        value[out] = y

    def merge(self, attention, y):
        """y: [images, 1, tokens, channels]"""
        m = self.order.index(attention)
        step, before = self.steps_of_merges[attention], self.sizes[m]
        out, sizes = oracle_merge.merge(step, before, y[:, 0])
        if len(self.sizes) == m + 1:
            self.sizes.append(sizes)
            self.relevance = oracle_refine.merged(step, self.relevance)
        return out[:, None]

    def choose_pairs(self, attention, key):
        """What merges after an attention, from its keys at step 1."""
        alive = self.sizes[self.order.index(attention)]
        key = np.broadcast_to(key, (len(alive), *key.shape[1:]))
        self.steps_of_merges[attention] = np.array([
            self.decide(attention, image, oracle_merge.Pairs(
                key[image].reshape(self.tokens, -1), np.flatnonzero(alive[image]), self.special,
                self.merged[attention], np.float64))
            for image in range(len(alive))])

    def choose_rows(self, refine):
        alive = self.sizes[-1]
        self.active = np.array([
            refine(image, oracle_refine.Choice(self.relevance[image], np.flatnonzero(alive[image]),
                                               self.special, self.share))
            for image in range(len(alive))])
        for attention in reversed(self.order):  # those that went into a row that is computed
            step = self.steps_of_merges[attention]
            self.active |= np.take_along_axis(self.active, step, 1)

    def weigh_keys(self, s):
        """ln of the sizes of an attention's keys, [images, 1, 1, keys], or None."""
        sizes = self.sizes_at(s, self.sizes)
        if sizes is None:
            return None
        with np.errstate(divide="ignore"):
            return np.log(sizes)[:, None, None]

    def levels(self, s, x):
        if s not in self.fired:
            shape = (len(x), self.sites[s]["rows"], self.sites[s]["channels"])
            self.fired[s] = self.hold(s, self.fire(s, self.t, x.reshape(shape)))
        return self.fired[s]

    def hold(self, s, levels):
        """Rows that are not computed fire nothing."""
        levels = levels.astype(np.float64)
        if self.active is not None and self.sites[s]["rows"] == self.tokens:
            levels = levels * self.active.reshape(*self.active.shape, *(1,) * (levels.ndim - 2))
        return levels

    def spike_linear(self, l, node, x):
        record = self.spike["linears"][l]
        s = record["site"]
        site = self.sites[s]
        rows = node["attr"]["rows"] if len(node["attr"]["rows"]) else slice(None)
        token_class = site["row_class"][rows]
        scale = self.point["sites"][s]["steps"][self.t - 1]["scale"].astype(np.float64)
        m = self.levels(s, x)[:, rows]
        y = (m.reshape(-1, m.shape[-1]) @ self.weights[l].T).reshape(*m.shape[:2], -1)
        y *= scale[token_class][:, None]
        y = self.sums[l] = self.sums.get(l, 0) + y
        return y / self.n + self.point["biases"][l][self.t - 1][token_class].astype(np.float64)

    def operand(self, s, x):
        """Running sum of the spikes of an operand, without unit and κ: [images, heads, rows, d]."""
        shift = self.point["sites"][s]["steps"][self.t - 1]["shift"]
        levels = self.levels(s, x) if x is not None else self.fired[s]
        self.sums["site", s] = self.sums.get(("site", s), 0) + levels * 2.0 ** -shift
        return self.sums["site", s]

    def spike_attention(self, record, node, x):
        t, n, heads = self.t, self.n, node["attr"]["heads"]
        q, k, v, p = (record[name] for name in ("query", "key", "value", "numerator"))
        unit_q, unit_k, unit_v, unit_p = (self.sites[s]["unit"].astype(np.float64)
                                          for s in (q, k, v, p))
        scale = float(node["attr"]["scale"])
        class_q, class_k, class_v = (self.sites[s]["row_class"] for s in (q, k, v))
        kappa_q, kappa_k = self.kappa(q, t), self.kappa(k, t)
        b_q, b_k, b_v = (self.offset(s, t) for s in (q, k, v))
        split = oracle_graph.split_heads

        spikes_q = self.operand(q, x[0]) * unit_q * kappa_q[:, None] / n
        spikes_k = self.operand(k, x[1]) * unit_k * kappa_k[:, None] / n
        star = spikes_q + b_q[class_q]
        l = split(spikes_q, heads) @ split(spikes_k, heads).transpose(0, 1, 3, 2)
        l += split(b_q[class_q][None], heads) @ split(spikes_k, heads).transpose(0, 1, 3, 2)
        l += split(star, heads) @ split((b_k[class_k] - b_k[0])[None],
                                        heads).transpose(0, 1, 3, 2)
        l *= scale
        if len(x) > 3 and x[3] is not None:
            l += oracle_graph.attention_bias(x[3])
        if (weights := self.weigh_keys(k)) is not None:
            l = l + weights
        m = l.max(-1, keepdims=True)
        if record["is_max_fixed"]:
            kept = self.sums.get(("max", p), m)
            m = self.sums["max", p] = np.where(m > kept + math.log(4), m, kept)
        e = np.exp(l - m)
        total = e.sum(-1, keepdims=True)
        if t == 1 and self.tokens == e.shape[-1]:
            self.relevance = self.relevance + oracle_refine.received(e / total, self.special)
        seen = e / total if record["is_quotient"] else e
        # The neurons' order of axes is [images, queries, keys, heads].
        self.fired[p] = self.hold(p, self.fire(p, t, np.moveaxis(seen, 1, -1)))
        values = split(self.operand(v, x[2]), heads)
        acc = np.moveaxis(self.operand(p, None), -1, 1) @ values
        acc *= self.kappa(p, t)[:, None] * unit_p[:, None, None]
        acc *= split(unit_v[None, None], heads) / (n * n)
        y = acc if record["is_quotient"] else acc / total
        y = y + split(b_v[0][None, None], heads)
        for c in range(1, len(b_v)):
            share = e[..., class_v == c].sum(-1, keepdims=True) / total
            y = y + split((b_v[c] - b_v[0])[None, None], heads) * share
        return oracle_graph.join_heads(y)
