"""Synthetic tasks on tiny models: learnable, unlearnable, too small. What diagnoses are calibrated on."""

from __future__ import annotations

import numpy as np

from tunesmith.data.encode.tokenize import Example

SIGN = 63


def task(count: int, *, seed: int = 0, kind: str = "rule", answers: int = 16) -> list[Example]:
    """Rows `a b c SIGN answer`, of which the answer alone is trained.

    `rule`: the answer follows from `a`. `noise`: it is drawn among `answers` tokens, whatever the row says.
    `hard`: it follows from `a` and `b` together, which these models do not find out. `chain`: every token is
    trained, and each follows from the one before in two cases of three.
    """
    if kind == "chain":
        return [_chain(number, seed) for number in range(count)]
    draw = np.random.default_rng(seed)
    table = np.random.default_rng(99).permutation(16)
    made = []
    for number in range(count):
        a, b, c = (int(value) for value in draw.integers(0, 16, 3))
        answer = {"rule": table[a], "noise": draw.integers(0, answers), "hard": (a + b) % 16}[kind]
        ids = np.array([1 + a, 20 + b, 40 + c, SIGN, 1 + int(answer)], dtype=np.int32)
        trained = np.arange(5) == 4
        made.append(
            Example(
                id=f"row-{number}",
                ids=ids,
                trained=trained,
                roles=np.zeros(5, dtype=np.uint8),
                label=(int(answer) % 3,),
            )
        )
    return made


def _chain(number: int, seed: int) -> Example:
    draw = np.random.default_rng((seed, number))
    follow = np.random.default_rng(99).permutation(62) + 1
    ids = [int(draw.integers(1, 63))]
    while len(ids) < 24:
        ids.append(int(follow[ids[-1] - 1] if draw.random() < 2 / 3 else draw.integers(1, 63)))
    whole = np.ones(24, dtype=bool)
    return Example(f"row-{number}", np.array(ids, dtype=np.int32), whole, np.zeros(24, dtype=np.uint8))
