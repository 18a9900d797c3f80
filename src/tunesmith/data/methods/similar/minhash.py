"""MinHash signatures in bands: texts that agree in a whole band are worth comparing.

N texts, P permutations, B bands of R values, P = B x R. For each permutation of the numbers of 32 bits, the smallest
shingle of a text is the same as another text's with a probability that is their Jaccard similarity s (Broder 1997). A
band is R of them, equal with s^R, and two texts meet in at least one band with

    found(s) = 1 - (1 - s^R)^B

the S-curve of locality-sensitive hashing (Indyk and Motwani 1998). `curve` chooses R and B from the threshold: as many
bands as find 99% of the pairs that lie exactly at it, and more of those above; and R as large as `MOST` permutations
allow, since a large R keeps apart what is only a little alike. What meets is compared exactly afterwards, so unlike
pairs that meet cost time and nothing else.

      threshold   R    B     P   found at threshold  5 points above       10 points below  at its half
      0.50        3   35   105   0.991              0.9983               0.901            0.4237
      0.60        3   19    57   0.990              0.9978               0.921            0.4055
      0.70        4   17    68   0.991              0.9984               0.906            0.2267
      0.80        6   16    96   0.992              0.9995               0.865            0.0636
      0.85        8   15   120   0.992              0.9998               0.794            0.0158
      0.90       10   11   110   0.991              1.0000               0.713            0.0037
      0.95       16    8   128   0.990              1.0000               0.461            0.0001
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tunesmith.data.methods.similar.shingles import Block
from tunesmith.data.methods.similar.words import U32, U64, mixed

RECALL = 0.99
"""The share of pairs exactly at the threshold that meet in a band."""
MOST = 128
"""Permutations, unless a low threshold needs more for bands of `NARROWEST`."""
NARROWEST, WIDEST = 3, 16
"""Values a band. Of a million texts that share a hundredth of their runs by chance, bands of three let a few million
pairs meet, bands of two billions."""
_SEED = 0x5EED


class Curve(NamedTuple):
    """How many bands of how many values."""

    bands: int
    width: int

    @property
    def permutations(self) -> int:
        return self.bands * self.width

    def found(self, similarity: float) -> float:
        """The probability that two texts of that similarity meet in a band."""
        return float(1 - (1 - similarity**self.width) ** self.bands)


def curve(threshold: float) -> Curve:
    """The sharpest one that finds `RECALL` of the pairs at the threshold."""
    fitting = [each for width in range(WIDEST, NARROWEST, -1) if (each := _of(threshold, width)).permutations <= MOST]
    return fitting[0] if fitting else _of(threshold, NARROWEST)


def _of(threshold: float, width: int) -> Curve:
    meets = threshold**width
    return Curve(1 if meets >= RECALL else math.ceil(math.log(1 - RECALL) / math.log(1 - meets)), width)


def signatures(block: Block, count: int) -> U32:
    """[P, R] the smallest shingle of each text of a block in each of P permutations."""
    draw = np.random.default_rng(_SEED)
    shifts = draw.integers(0, 1 << 32, count, dtype=np.uint32)
    factors = draw.integers(0, 1 << 32, count, dtype=np.uint32) | np.uint32(1)
    # Texts side by side: the smallest of each is found for many at once.
    shingles_LR = np.ascontiguousarray(block.shingles.T)
    permuted_LR = np.empty_like(shingles_LR)
    smallest_PR = np.empty((count, len(block.rows)), np.uint32)
    for number in range(count):
        np.bitwise_xor(shingles_LR, shifts[number], out=permuted_LR)
        np.multiply(permuted_LR, factors[number], out=permuted_LR)
        np.min(permuted_LR, axis=0, out=smallest_PR[number])
    return smallest_PR


def bands(smallest_PR: U32, shape: Curve) -> U64:
    """[B, R] one number a band: equal where all of its values are, and else once in 2^64."""
    parts = smallest_PR.reshape(shape.bands, shape.width, -1)
    keys = np.zeros((shape.bands, smallest_PR.shape[1]), np.uint64)
    for place in range(shape.width):
        keys = mixed(keys ^ parts[:, place])
    return keys
