# SPDX-License-Identifier: Apache-2.0
"""Which tokens are computed from step 2 on, docs/spikefile.md "Refinement": what each token of the
unreduced network receives at step 1, and who is chosen."""
import math

import numpy as np


def received(shares, special):
    """shares: [images, heads, queries, keys] of the softmax -> [images, keys]"""
    return shares[:, :, :special or None].sum((1, 2))


def merged(step, relevance):
    """What tokens receive goes with them, [images, tokens] both."""
    out = np.zeros_like(relevance)
    for image, to in enumerate(step):
        np.add.at(out[image], to, relevance[image])
    return out


class Choice:
    """What one image refines. relevance: [tokens]; rows: the tokens that stand for a row, rising."""

    def __init__(self, relevance, rows, special, share):
        self.relevance, self.tokens = relevance, len(relevance)
        self.special, self.patches = rows[:special], rows[special:]
        self.n = math.floor(np.float32(share) * np.float32(len(self.patches)) + np.float32(0.5))

    def rows(self):
        """[tokens] which rows are computed."""
        out = np.zeros(self.tokens, bool)
        best = np.argsort(-self.relevance[self.patches], kind="stable")[:self.n]
        out[self.special] = out[self.patches[best]] = True
        return out

    def shortfall(self, rows):
        """How much less than the best a chosen row receives that is not of them, of the most that any
        does."""
        chosen = rows[self.patches]
        if chosen.sum() != self.n or not rows[self.special].all():
            return np.inf
        x = self.relevance[self.patches]
        if chosen.all() or not chosen.any():
            return 0.0
        return max(0.0, x[~chosen].max() - x[chosen].min()) / x.max()
