# SPDX-License-Identifier: Apache-2.0
"""Token merging, docs/spikefile.md "Merging", without a graph of fewer rows: every array keeps the
tokens of the unreduced network, and those that stand for no row have size 0.
"""
import numpy as np


class Pairs:
    """What one image merges after one attention.

    metric: [tokens, channels]; rows: the tokens that stand for a row, rising."""

    def __init__(self, metric, rows, special, n_pairs, dtype):
        patches = rows[special:]
        self.tokens, self.n_pairs = len(metric), n_pairs
        self.even, self.odd = patches[0::2], patches[1::2]
        vector = metric[patches].astype(dtype)
        square = np.zeros(len(patches), dtype)
        for d in range(vector.shape[1]):
            square += vector[:, d] * vector[:, d]
        length = np.sqrt(square)
        unit = vector / np.where(length > 0, length, 1)[:, None]
        self.cosine = np.zeros((len(self.even), len(self.odd)), dtype)
        for d in range(unit.shape[1]):
            self.cosine += unit[0::2, d][:, None] * unit[1::2, d][None]
        self.best = self.cosine.max(1)
        self.picked = np.argsort(-self.best, kind="stable")[:n_pairs]

    def step(self):
        """[tokens] where each token goes."""
        out = np.arange(self.tokens)
        out[self.even[self.picked]] = self.odd[self.cosine.argmax(1)[self.picked]]
        return out

    def shortfall(self, step):
        """How far another step is from the rule: by cosine, of a mate that is not the nearest or
        a pair that is not among the nearest."""
        place = {token: j for j, token in enumerate(self.odd)}
        moved = [i for i, token in enumerate(self.even) if step[token] != token]
        if len(moved) != self.n_pairs or np.count_nonzero(step != np.arange(self.tokens)) != len(
                moved) or any(step[self.even[i]] not in place for i in moved):
            return np.inf
        least = self.best[self.picked].min(initial=np.inf)
        return max((max(self.best[i] - self.cosine[i, place[step[self.even[i]]]],
                        least - self.best[i]) for i in moved), default=0.0)


def merge(step, sizes, x):
    """step, sizes: [images, tokens]; x: [images or 1, tokens, channels] -> means, new sizes"""
    out, new = np.zeros((len(step), *x.shape[1:])), np.zeros_like(sizes)
    for image, to in enumerate(step):
        np.add.at(new[image], to, sizes[image])
        np.add.at(out[image], to, x[image if len(x) > 1 else 0] * sizes[image][:, None])
    return out / np.where(new > 0, new, 1)[..., None], new


def steps_of_places(places):
    """[merges, images, tokens] where each token stands -> what each token that stood did."""
    out = np.array(places)
    for m in range(1, len(out)):
        for image in range(out.shape[1]):
            step = np.arange(out.shape[2])
            step[places[m - 1][image]] = places[m][image]
            out[m][image] = step
    return out


def sizes_of_places(places, images, tokens):
    """[merges + 1] of [images, tokens]: how many tokens stand in the place of each."""
    out = [np.ones((images, tokens))]
    for place in places:
        out.append(np.array([np.bincount(row, minlength=tokens) for row in place], float))
    return out
