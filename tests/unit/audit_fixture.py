"""Made data to audit: healthy rows, and faults to plant among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tunesmith.data.audit import Asked, audit
from tunesmith.data.split import SPLITS, assign
from tunesmith.records import Record
from tunesmith.spec.quantity import Share
from tunesmith.spec.sections import SplitRule


def _words(text: str) -> list[str]:
    return text.split()


THEMES = {
    "billing": _words("invoice payment refund charge account money price month balance card receipt discount total"),
    "delivery": _words("parcel courier street address morning driver tracking window neighbour late door weight van"),
    "account": _words("password login email profile settings name phone security question reset screen button code"),
    "returns": _words("shoes size colour box label shop exchange broken seam zip fabric worn washing jacket sleeve"),
}
COMMON = _words(
    "please could you tell me why the this that is was not have has been with about from after before because they said"
    " would like to know how and but when it my our your still again today yesterday week since only every another"
)
SETTINGS: dict[str, Any] = {"min": 9, "max": 18}


def sentence(random: np.random.Generator, theme: Sequence[str]) -> str:
    """Words of a theme among common ones, with a capital and a full stop."""
    count = int(random.integers(SETTINGS["min"], SETTINGS["max"]))
    words = [str(random.choice(theme if random.random() < 0.4 else COMMON)) for _ in range(count)]
    return " ".join(words).capitalize() + "."


def healthy(count: int = 1440, seed: int = 1) -> list[Record]:
    """Rows of four labels and three channels, evenly, all different."""
    random = np.random.default_rng(seed)
    labels = list(THEMES)
    return [
        Record(
            f"r{n}",
            f"rows.jsonl:{n + 1}",
            text=sentence(random, THEMES[labels[n % 4]]),
            labels=(labels[n % 4],),
            slices={"channel": ("email", "phone", "web")[n // 4 % 3]},
        )
        for n in range(count)
    ]


def audited(
    records: Sequence[Record],
    *,
    reported: Sequence[str] = (),
    rule: SplitRule | None = None,
    splits_N: Any = None,
    steps: Sequence[Any] = ("clean", "exact_dedup"),
    ledger: Mapping[str, Any] | None = None,
    max_length: int | None = None,
    refused: str = "",
    folded: bool = False,
    count_tokens: Callable[[Sequence[str]], Sequence[int]] | None = None,
) -> dict[str, Any]:
    """An audit of records, divided by the rule; a word is a token."""
    rule = rule or SplitRule(train=Share(0.6, ""), test=Share(0.3, ""), leakage="ignore")
    splits_N = assign(records, rule, {}) if splits_N is None else splits_N
    rows = {"read": len(records), "kept": len(records), "dropped": 0, "changed": 0}
    return audit(
        records,
        splits_N,
        Asked(
            "made",
            "classify",
            columns=list(reported),
            reported=list(reported),
            steps=steps,
            split=rule.model_dump(mode="json"),
            max_length=max_length,
            folded=folded,
        ),
        ledger={"rows": rows, "splits": {name: {} for name in SPLITS}, **(ledger or {})},
        count_tokens=count_tokens or (lambda texts: [len(text.split()) for text in texts]),
        refused=refused,
    )
