# SPDX-License-Identifier: Apache-2.0
"""run_oracle.py --transpike EXE --spike F --images N.npy [--onnx F] [--mode M] [--few 2] [--many 64]

Holds `transpike run` against a slow reference in NumPy that reads the .spike itself
(docs/spikefile.md):
  (a) exact: from the dumped inputs x_t, every code, every integer product and every pair of tokens
      that merges, without a difference;
  (b) teacher-forced, in double: with the dumped codes and pairs put in, every x_t within 1e-5 of
      its row's largest, the logits after every step (of a mode: its last) within 1e-4 of the
      largest, the cosine of every pair within 1e-5 of the best, what the refined tokens receive
      within 1e-5 of the most;
  (c) free-running, in double, from the image on: the first code of an image that differs lies
      within 1e-5 of its row's largest |x_t| of a threshold, or its first pair within 1e-5 of the
      best one's cosine, or its choice of refined tokens within 1e-5 of the rule; over at least 64 images, firing rates
      of every site within 1 %, and with --onnx (by onnxruntime) the mean KL to the source within
      25 %.
(a) and (b) take the first --few images (4 at most), (c) the first --many (64 at most; 0: not).
Prints a table; exit code 1 when a bound is broken."""
import argparse
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "spikefile")]
import oracle_merge  # noqa: E402
import oracle_exit  # noqa: E402
import oracle_refine  # noqa: E402
import read_spike  # noqa: E402
from oracle_network import Network  # noqa: E402
from oracle_neuron import Neurons, codes_of_levels, levels_of_codes  # noqa: E402

X_BOUND, LOGIT_BOUND, FIRST_BOUND, PAIR_BOUND = 1e-5, 1e-4, 1e-5, 1e-5
RATE_BOUND, KL_BOUND, ENOUGH = 0.01, 0.25, 64
CHUNK = 8
KINDS = ["linear", "query", "key", "value", "numerator"]


class Table:
    def __init__(self, steps):
        self.rows, self.steps = {}, steps

    def add(self, part, what, compared, differences, deviation, bad):
        row = self.rows.setdefault((part, what), [0, 0, 0.0, False])
        row[0] += int(compared)
        row[1] += int(differences)
        row[2] = max(row[2], float(deviation))
        row[3] = row[3] or bool(bad)

    def show(self, title):
        print(f"\n{title}")
        print(f"{'part':4} {'what':28} {'steps':>5} {'compared':>11} {'differences':>11} "
              f"{'largest deviation':>17}")
        for (part, what), (compared, differences, deviation, bad) in self.rows.items():
            print(f"{part:4} {what:28} {'1-%d' % self.steps:>5} {compared:11d} {differences:11d} "
                  f"{deviation:17.3g}{'  OUT OF BOUNDS' if bad else ''}")
        sys.stdout.flush()

    def is_bad(self):
        return any(row[3] for row in self.rows.values())


def ordered(site, array):
    """The dump's order of axes -> that of oracle_neuron.py."""
    return np.moveaxis(array, 1, -1) if site["kind"] == "numerator" else array


class Dump:
    """active(s, t): [images, rows] the rows of a site that are computed at step t, as far as
    refinement goes.

    The members of a dump at the rows that are computed; the others are checked to be 0."""

    def __init__(self, net, members, table):
        self.members, self.table = members, table
        self.site = {site["name"]: site for site in net.sites}
        self.query = {record["node"]: net.sites[record["query"]]
                      for record in net.spike["attentions"]}
        names = [net.graph["nodes"][i]["name"] for i in net.order]
        places = [members[f"decisions/merge/{name}"] for name in names]
        self.steps = oracle_merge.steps_of_places(places)
        self.images = len(next(iter(members.values())))
        self.sizes = oracle_merge.sizes_of_places(places, self.images, net.tokens)
        self.refined, self.net = None, net
        if net.point["refine_share"] and net.steps > 1:
            self.refined = members["decisions/refine"] != 0

    def rows_refined(self):
        """[images, tokens] the rows of the last space that are computed from step 2 on."""
        return self.refined & (self.sizes[-1] > 0)

    def active(self, s, t, part=slice(None)):
        if t == 1 or self.refined is None or self.net.sites[s]["rows"] != self.net.tokens:
            return True
        return self.refined[part]

    def __getitem__(self, name):
        array = self.members[name]
        owner, _, what = name.rsplit("/", 2)
        if what == "grid":
            return array
        site = self.site[owner]
        is_turned = site["kind"] == "numerator"
        if what == "product" and site["kind"] != "linear":
            site, is_turned = self.query[site["node"]], True
        rows = site["source_row"]
        axis = 2 if is_turned else 1
        total = site["source_rows"] if len(rows) else site["rows"]
        if array.shape[axis] != total:
            raise ValueError(f"{name}: {array.shape[axis]} rows, expected {total}")
        if not len(rows):
            return array
        left_out = np.delete(array, rows, axis)
        wrong = np.count_nonzero(left_out)
        self.table.add("a", "rows left out", left_out.size, wrong, 0, wrong)
        return np.take(array, rows, axis)


def transpike(exe, *args):
    done = subprocess.run([exe, *map(str, args)], capture_output=True, text=True,
                          env={**os.environ, "OMP_WAIT_POLICY": "passive"})
    if done.returncode:
        sys.exit(f"{exe} {' '.join(map(str, args))}: {done.stderr.strip()}")


def exact_product(a, b):
    """Integer matmul by way of float64, which is exact below 2^53."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    bound = np.abs(a).max(initial=0) * np.abs(b).max(initial=0) * a.shape[-1]
    assert bound < 2.0 ** 53, "a product beyond 2^53"
    return (a @ b).astype(np.int64)


# --- (a) ---

def computed(net, s, sizes, part=slice(None)):
    """[images or 1, rows] what a site computes of each image."""
    own = net.sizes_at(s, sizes)
    return net.rows_of(s)[None] if own is None else net.rows_of(s)[None] & (own[part] > 0)


def computed_keys(net, s, sizes, part=slice(None)):
    """The same of a numerator site's keys."""
    record = next(r for r in net.spike["attentions"] if r["numerator"] == s)
    return computed(net, record["key"], sizes, part)


def check_codes(net, dump, table, s):
    site, params = net.sites[s], net.point["sites"][s]
    neurons = Neurons(site, params, net.point["coding"], np.float32)
    for t in range(1, net.steps + 1):
        name = f"{site['name']}/t{t}"
        code = ordered(site, dump[f"{name}/codes"])
        level, _ = neurons.fire(t, ordered(site, dump[f"{name}/input"]))
        own = codes_of_levels(params, level)
        rows = computed(net, s, dump.sizes) & dump.active(s, t)
        here = np.broadcast_to(rows, own.shape[:2])
        own[~here] = 0
        wrong = np.count_nonzero(own != code)
        table.add("a", f"{site['kind']} codes", own[here].size, wrong, 0, wrong)
        fan_out = ordered(site, dump[f"{name}/fan_out"])[:, :, 0]
        fan_out = fan_out.reshape(fan_out.shape[:2])
        wrong = np.count_nonzero(fan_out != own_fan_out(net, s, t, dump))
        table.add("a", "fan-out", fan_out.size, wrong, 0, wrong)


def own_fan_out(net, s, t, dump):
    """[images or 1, rows]"""
    sizes = dump.sizes
    site = net.sites[s]
    record = next((r for r in net.spike["attentions"] if r["node"] == site["node"]), None)
    out = np.zeros(site["rows"], np.int64)
    if site["kind"] == "linear":
        for linear in net.spike["linears"]:
            if linear["site"] == s:
                rows = net.graph["nodes"][linear["node"]]["attr"]["rows"]
                out[rows if len(rows) else slice(None)] += linear["outputs"]
    elif site["kind"] == "numerator":
        out[:] = net.sites[record["value"]]["channels"] // site["channels"]
    else:
        other = record["key" if site["kind"] == "query" else "query"]
        there = computed(net, other, sizes)
        if site["kind"] != "query":  # of keys and values all rows are there
            there = there & dump.active(other, t)
        out = there.sum(1, keepdims=True)
    return np.where(computed(net, s, sizes) & dump.active(s, t), out, 0)


def check_linear_products(net, dump, table, s):
    site, params = net.sites[s], net.point["sites"][s]
    order = site["order"].reshape(-1).astype(np.int64)
    used = order < site["channels"]
    for t in range(1, net.steps + 1):
        level = levels_of_codes(params, dump[f"{site['name']}/t{t}/codes"])
        packed = np.zeros((*level.shape[:2], len(order)), np.int16)
        packed[..., used] = level[..., order[used]]
        found = dump[f"{site['name']}/t{t}/product"]
        at = 0
        for record in net.spike["linears"]:
            if record["site"] != s:
                continue
            picked = net.graph["nodes"][record["node"]]["attr"]["rows"]
            idle = np.ones(site["rows"], bool)
            idle[picked if len(picked) else slice(None)] = False
            for g in range(site["groups"]):
                part = slice(g * site["group_size"], (g + 1) * site["group_size"])
                own = exact_product(packed[..., part], record["weight"][:, part].T)
                own[:, idle] = 0
                theirs = found[:, :, g, at:at + record["outputs"]]
                wrong = np.count_nonzero(own != theirs)
                table.add("a", "linear products", own.size, wrong, 0, wrong)
            at += record["outputs"]
        table.add("a", "linear products", 0, 0, 0, at != found.shape[-1])


def check_pair_products(net, dump, table, record):
    heads = net.graph["nodes"][record["node"]]["attr"]["heads"]

    def planes(s):
        """By step: (levels [images, heads, rows, d], shift)."""
        site, params = net.sites[s], net.point["sites"][s]
        out = []
        for t in range(1, net.steps + 1):
            level = levels_of_codes(params, dump[f"{site['name']}/t{t}/codes"])
            if site["kind"] != "numerator":
                level = level.reshape(*level.shape[:2], heads, -1).transpose(0, 2, 1, 3)
            out.append((level.astype(np.int64), params["steps"][t - 1]["shift"]))
        return out

    for first, second, is_turned in (("query", "key", True), ("numerator", "value", False)):
        a, b = planes(record[first]), planes(record[second])
        if is_turned:
            b = [(level.transpose(0, 1, 3, 2), shift) for level, shift in b]
        for t in range(1, net.steps + 1):
            top = [max(shift for _, shift in planes_of[:t]) for planes_of in (a, b)]
            (new_a, all_a), (new_b, all_b) = (
                (p[t - 1][0] << (k - p[t - 1][1]),
                 sum(level << (k - shift) for level, shift in p[:t]))
                for p, k in zip((a, b), top))
            products = ((first, exact_product(new_a, all_b - new_b)),
                        (second, exact_product(all_a, new_b)))
            for kind, own in products:
                name = f"{net.sites[record[kind]]['name']}/t{t}"
                active = np.broadcast_to(dump.active(record["query"], t), (len(own), own.shape[2]))
                own = own * active[:, None, :, None]
                wrong = np.count_nonzero(own != dump[f"{name}/product"])
                wrong += int(dump[f"{name}/grid"]) != sum(top)
                table.add("a", f"{kind} products", own.size, wrong, 0, wrong)


def check_pairs(net, dump, table):
    """Pairs in float32, in the runtime's order of operations."""
    for m, attention in enumerate(net.order):
        record = net.attention_of.get(attention)
        if record is None:  # kept analog: its keys are not in the dump
            continue
        key = dump[f"{net.sites[record['key']]['name']}/t1/input"]
        for image, step in enumerate(dump.steps[m]):
            own = oracle_merge.Pairs(key[image], np.flatnonzero(dump.sizes[m][image]), net.special,
                                     net.merged[attention], np.float32)
            wrong = np.count_nonzero(own.step() != step)
            table.add("a", "merged pairs", own.n_pairs, wrong, 0, wrong)


def part_a(net, dump, table):
    check_pairs(net, dump, table)
    for s, site in enumerate(net.sites):
        check_codes(net, dump, table, s)
        if site["kind"] == "linear":
            check_linear_products(net, dump, table, s)
    for record in net.spike["attentions"]:
        check_pair_products(net, dump, table, record)


# --- (b) ---

def part_b(net, images, dump, logits, table):
    def fire(s, t, x):
        site = net.sites[s]
        name = f"{site['name']}/t{t}"
        seen = ordered(site, dump[f"{name}/input"]).astype(np.float64)
        rows = np.broadcast_to(computed(net, s, dump.sizes) & dump.active(s, t), seen.shape[:2])
        seen = seen[rows]
        largest = np.abs(seen).max(1, keepdims=True)
        gap = np.abs(np.broadcast_to(x, (len(rows), *x.shape[1:]))[rows] - seen) / np.where(
            largest > 0, largest, 1)
        bad = np.count_nonzero(~(gap <= X_BOUND))
        table.add("b", f"{site['kind']} inputs", gap.size, bad, gap.max(), bad)
        return levels_of_codes(net.point["sites"][s], ordered(site, dump[f"{name}/codes"]))

    def decide(attention, image, own):
        step = dump.steps[net.order.index(attention)][image]
        gap = own.shortfall(step)
        table.add("b", "merged pairs", own.n_pairs, gap > PAIR_BOUND, gap, gap > PAIR_BOUND)
        return step

    def refine(image, own):
        rows = dump.rows_refined()[image]
        gap = own.shortfall(rows)
        table.add("b", "refined tokens", own.n, gap > PAIR_BOUND, gap, gap > PAIR_BOUND)
        return rows

    for t, own in enumerate(net.run(images, net.steps, fire, decide, refine), 1):
        if logits[t - 1] is None:
            continue
        theirs = logits[t - 1].astype(np.float64)
        gap = np.abs(own - theirs) / np.abs(theirs).max(1, keepdims=True)
        bad = np.count_nonzero(~(gap <= LOGIT_BOUND))
        table.add("b", "logits", gap.size, bad, gap.max(), bad)


# --- (c) ---

class FreeRun:
    """One chunk of images: what the oracle's own neurons fire, beside what was dumped."""

    def __init__(self, net, dump, part, table, spikes, tables):
        self.net, self.dump, self.part, self.table, self.spikes = net, dump, part, table, spikes
        self.neurons = [Neurons(site, params, net.point["coding"], np.float64, tables)
                        for site, params in zip(net.sites, net.point["sites"])]
        self.has_left = np.zeros(part.stop - part.start, bool)

    def fire(self, s, t, x):
        net, site = self.net, self.net.sites[s]
        params = net.point["sites"][s]
        level, potential = self.neurons[s].fire(t, x)
        code = codes_of_levels(params, level)
        theirs = ordered(site, self.dump[f"{site['name']}/t{t}/codes"][self.part])
        rows = np.broadcast_to(computed(net, s, net.sizes), code.shape[:2])
        if net.active is not None and site["rows"] == net.tokens:
            rows = rows & net.active
        code[~rows] = 0
        level[~rows] = 0
        differs = code != theirs
        self.spikes[s] += (np.count_nonzero(code), np.count_nonzero(theirs), code[rows].size)
        first = differs.reshape(len(code), -1).any(1) & ~self.has_left
        if first.any():
            differs[~first] = False
            largest = np.abs(x).max(2, keepdims=True)
            gap = self.neurons[s].distances(t, potential, differs)
            gap /= np.where(largest > 0, largest, 1)
            bad = np.count_nonzero(~(gap <= FIRST_BOUND))
            self.table.add("c", "first codes that differ", 0, np.count_nonzero(differs), gap.max(),
                           bad)
            self.has_left |= first
        return level

    def decide(self, attention, image, own):
        theirs = self.dump.steps[self.net.order.index(attention)][self.part][image]
        step = own.step()
        if np.any(step != theirs) and not self.has_left[image]:
            gap = own.shortfall(theirs)
            self.table.add("c", "first pairs that differ", 0, 1, gap, not gap <= PAIR_BOUND)
            self.has_left[image] = True
        return step


    def refine(self, image, own):
        theirs = self.dump.rows_refined()[self.part][image]
        rows = own.rows()
        if np.any(rows != theirs) and not self.has_left[image]:
            gap = own.shortfall(theirs)
            self.table.add("c", "first choices that differ", 0, 1, gap, not gap <= PAIR_BOUND)
            self.has_left[image] = True
        return rows


def softmax_log(x):
    x = x - x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def mean_kl(ann, snn):
    a, s = softmax_log(ann), softmax_log(snn)
    return (np.exp(a) * (a - s)).sum(1).mean()


def part_c(net, images, dump, logits, ann, table):
    spikes = np.zeros((len(net.sites), 3), np.int64)
    own = [[] for _ in range(net.steps)]
    left, tables = 0, {}
    for at in range(0, len(images), CHUNK):
        part = slice(at, min(at + CHUNK, len(images)))
        run = FreeRun(net, dump, part, table, spikes, tables)
        for t, out in enumerate(net.run(images[part], net.steps, run.fire,
                                         run.decide, run.refine)):
            own[t].append(out)
        left += np.count_nonzero(run.has_left)
    table.add("c", "first codes that differ", spikes[:, 2].sum(), 0, 0, False)
    table.add("c", "images with such a code", len(images), left, 0, False)
    if len(images) < ENOUGH:
        return
    for site, (mine, theirs, _) in zip(net.sites, spikes):
        gap = abs(mine - theirs) / max(theirs, 1)
        bad = gap > RATE_BOUND
        table.add("c", f"{site['kind']} firing rates", 1, bad, gap, bad)
        if bad:
            print(f"{site['name']}: the oracle fires {mine} spikes, the runtime {theirs}")
    if ann is None:
        print("KL to the source: skipped, no --onnx or no onnxruntime")
        return
    for t in range(net.steps):
        if logits[t] is None:
            continue
        mine, theirs = mean_kl(ann, np.concatenate(own[t])), mean_kl(ann, logits[t])
        gap = abs(mine - theirs) / theirs
        table.add("c", f"KL t{t + 1}: {mine:.3g}, run {theirs:.3g}", len(images),
                  gap > KL_BOUND, gap, gap > KL_BOUND)


# --- all ---

def run(exe, spike, images, folder, name, steps, flags, mode="exact"):
    """Logits after every step, of a mode other than exact after its last; and the dump."""
    np.save(os.path.join(folder, "images.npy"), images.astype(np.float32))
    dump = os.path.join(folder, f"{name}.npz")
    logits = []
    if mode != "exact":
        out = os.path.join(folder, "logits.npy")
        transpike(exe, "run", spike, os.path.join(folder, "images.npy"), "--output", out, "--mode",
                  mode, "--policy", "none", "--dump-spikes", dump, *flags)
        return [None] * (steps - 1) + [np.load(out)], np.load(dump)
    for t in range(1, steps + 1):
        out = os.path.join(folder, "logits.npy")
        transpike(exe, "run", spike, os.path.join(folder, "images.npy"), "--output", out,
                  "--steps", t, *(["--dump-spikes", dump, *flags] if t == steps else []))
        logits.append(np.load(out))
    return logits, np.load(dump)


def check_exits(exe, spike, images, title=None):
    """Under every policy of `exact`, as fitted and at other thresholds: images stop where the oracle
    says, with the logits of that step, and fire nothing behind it."""
    net = Network(read_spike.read(spike))
    net.steps = steps = net.point["steps"]
    table = Table(steps)
    with tempfile.TemporaryDirectory() as folder:
        logits, dump = run(exe, spike, images, folder, "whole", steps, [])
        dump.close()
        for policy in net.point["exits"]:
            for threshold in (None, 0.1, 0.3, 0.6, 0.9):
                out, name = os.path.join(folder, "out.npy"), os.path.join(folder, "exit.npz")
                transpike(exe, "run", spike, os.path.join(folder, "images.npy"), "--policy",
                          policy["kind"], "--output", out, "--dump-spikes", name,
                          *([] if threshold is None else ["--exit", threshold]))
                check_stops(net, policy, threshold, logits, np.load(out), np.load(name), table)
    table.show(title or spike)
    return not table.is_bad()


def check_stops(net, policy, threshold, logits, found, dump, table):
    stop, is_clear = oracle_exit.stops(policy, logits, threshold)
    theirs = dump["decisions/exit"]
    wrong = np.count_nonzero((stop != theirs) & is_clear)
    table.add("a", f"{policy['kind']} exits", is_clear.sum(), wrong, 0, wrong)
    for i, last in enumerate(theirs):
        wrong = np.count_nonzero(found[i] != logits[last - 1][i])
        table.add("a", "logits at the exit", found[i].size, wrong, 0, wrong)
        for site in net.sites:
            for t in range(last + 1, net.steps + 1):
                name = f"{site['name']}/t{t}"
                wrong = np.count_nonzero(dump[f"{name}/codes"][i])
                wrong += np.count_nonzero(dump[f"{name}/fan_out"][i])
                table.add("a", "after the exit", 1, wrong, 0, wrong)
    dump.close()


def source_logits(onnx, images):
    if onnx is None:
        return None
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None].astype(np.float32)})[0]
                           for image in images]).astype(np.float64)


def check(exe, spike, images, onnx=None, few=2, many=64, title=None, mode="exact"):
    """Runs the three parts, prints their table; True when every bound holds."""
    read = read_spike.read(spike)
    net = Network(read, [point["name"] for point in read["points"]].index(mode))
    net.steps = net.point["steps"]
    table = Table(net.steps)
    with tempfile.TemporaryDirectory() as folder:
        chosen = images[:few]
        logits, dump = run(exe, spike, chosen, folder, "few", net.steps, ["--dump-products"],
                           mode)
        members = Dump(net, dump, table)
        part_a(net, members, table)
        part_b(net, chosen, members, logits, table)
        dump.close()
        chosen = images[:many]
        if len(chosen):
            logits, dump = run(exe, spike, chosen, folder, "many", net.steps, [], mode)
            dump = Dump(net, dict(dump), table)
            part_c(net, chosen, dump, logits, source_logits(onnx, chosen), table)
    table.show(title or spike)
    return not table.is_bad()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transpike", required=True)
    parser.add_argument("--spike", required=True)
    parser.add_argument("--images", required=True, help="preprocessed, float32 [N, C, H, W]")
    parser.add_argument("--onnx")
    parser.add_argument("--mode", default="exact")
    parser.add_argument("--few", type=int, default=2)
    parser.add_argument("--many", type=int, default=64)
    args = parser.parse_args()
    fine = check(args.transpike, args.spike, np.load(args.images), args.onnx, args.few, args.many,
                 mode=args.mode)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
