"""What a search varies when nobody says it, and in which ranges: by adapter, objective, and how many rows there are.

Dimensions come in the order in which they matter, and few rows get only the first of them: validation rows are about
a tenth of all, and the error of their figure, up to 0.5 / sqrt(rows), hides what the later ones change. The ranges:

    learning rate   the rule of spec/derive.py (Devlin et al. 2019; adapters ten times that, Dettmers et al. 2023,
                    Biderman et al. 2024), from a fifth to ten times it: BERT's 5e-5 gives 1e-5 to 5e-4
    rank            4 to 64 (Hu et al. 2021, section 7.2); alpha stays, for tuning it is about the same as tuning the
                    learning rate (section 4.1), and scaling by its root keeps high ranks learning (Kalajdzievski 2023)
    targets         stay at all linear layers, which beat attention alone at equal size (Dettmers et al. 2023)
    virtual tokens  4 to 64 (Li and Liang 2021; Lester et al. 2021, whose gains end near 20)
    bottleneck      16 to 256 (Houlsby et al. 2019)
    batch           8 to 64 rows, and at least ten steps an epoch (Mosbach et al. 2021; Masters and Luschi 2018)
    duration        half, once and twice what the number of rows asks for (Mosbach et al. 2021)
    weight decay    0, 0.01 (Loshchilov and Hutter 2019), 0.1 (Brown et al. 2020)
    dropout         of LoRA's inputs 0, 0.05, 0.1 (Dettmers et al. 2023)
    smoothing       of labels 0 to 0.1 (Szegedy et al. 2016; Müller et al. 2019)
    NEFTune         none, or 5 (Jain et al. 2023)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunesmith.search.study import Dimension
from tunesmith.spec.derive import usual_rate
from tunesmith.spec.quantity import Batch, Duration
from tunesmith.spec.sections import Train

ALLOWED = ((500, 3), (2_000, 4), (10_000, 6))
"""Training rows below which a search has so many dimensions at most; with more rows it has all that apply."""
STEPS_AN_EPOCH = 10
LARGEST_BATCH = 64
LENGTHS = {"lora": ("rank", 4, 64), "qlora": ("rank", 4, 64), "prefix": ("length", 4, 64), "prompt": ("length", 4, 64),
           "bottleneck": ("size", 16, 256)}  # fmt: skip
"""Adapter -> the setting that says how large it is, and its range."""
WHY = {
    "weight_decay": "0.01 is AdamW's own (Loshchilov and Hutter 2019), 0.1 that of large models (Brown et al. 2020)",
    "head": "how many times faster than the rest a fresh head learns; a third of what is derived to three times that",
    "label_smoothing": "a tenth of a label's weight spread over all (Szegedy et al. 2016; Müller et al. 2019)",
    "temperature": "what the teacher says is softened 1 to 5 times (Hinton et al. 2015)",
    "neftune": "noise on embeddings, 5 for instruction data (Jain et al. 2023)",
    "dropout": "0.1 for small models, 0.05 for large ones (Dettmers et al. 2023)",
    "scaling": "by the rank, or by its root, which lets high ranks learn as fast (Kalajdzievski 2023)",
    "dora": "lengths of weights trained apart: gains at low ranks (Liu et al. 2024), and slower steps",
    "rank": "ranks of 4 to 64 (Hu et al. 2021, section 7.2)",
    "length": "virtual tokens, of which gains end near 20 (Lester et al. 2021)",
    "size": "bottlenecks of 16 to 256 (Houlsby et al. 2019)",
}


def default_space(stage: Train, *, rows: int, parameters: int, head: str) -> tuple[Dimension, ...]:
    """The dimensions of a search over a training stage, the most important first.

    What the stage has now lies inside of every one, so that the spec as it is can be compared.

    Args:
        stage: resolved; paths begin with `train.`.
        rows: it learns from.
        parameters: of the base.
        head: what its objective puts on the base: `lm`, or a head of ours.
    """
    most = next((number for below, number in ALLOWED if rows < below), None)
    return tuple(_by_importance(stage, rows, parameters, head))[:most]


def _by_importance(stage: Train, rows: int, parameters: int, head: str) -> Iterator[Dimension]:
    assert stage.adapter and stage.optimizer and stage.objective and stage.batch and stage.duration
    yield _rate(stage, parameters)
    if stage.adapter.kind in LENGTHS:
        yield _size(stage)
    yield _duration(stage.duration, rows)
    yield _batch(stage.batch, rows)
    yield _choice("train.optimizer.weight_decay", stage.optimizer, (0.0, 0.01, 0.1))
    if head != "lm":
        yield _head(stage.optimizer)
        yield _choice("train.objective.label_smoothing", stage.objective, (0.0, 0.05, 0.1))
    elif stage.objective.kind == "distill":
        yield _range("train.objective.temperature", stage.objective, 1.0, 5.0)
    elif stage.objective.kind == "sft":
        yield _choice("train.regularize.neftune", stage.regularize, (None, 5.0))
    if stage.adapter.kind in ("lora", "qlora"):
        yield _choice("train.adapter.dropout", stage.adapter, (0.0, 0.05, 0.1))
        yield _choice("train.adapter.scaling", stage.adapter, ("standard", "rslora"))
        yield _choice("train.adapter.dora", stage.adapter, (False, True))


def _rate(stage: Train, parameters: int) -> Dimension:
    assert stage.adapter and stage.optimizer and stage.objective
    now: Any = getattr(stage.optimizer, "lr", None)
    pace = getattr(stage.optimizer, "pace", 1.0)
    usual = usual_rate(parameters, stage.adapter.kind, stage.objective.kind, pace=pace)
    low, high = _two_digits(usual.value / 5), _two_digits(usual.value * 10)
    why = f"a fifth to ten times {usual.value:g}: {usual.reason}"
    if now is not None and not low <= now <= high:
        low, high = min(low, now), max(high, now)
        why = f"{why}; widened to the {now:g} that the spec has"
    return Dimension("train.optimizer.lr", "float", low, high, log=True, why=why)


def _size(stage: Train) -> Dimension:
    assert stage.adapter
    name, low, high = LENGTHS[stage.adapter.kind]
    now = getattr(stage.adapter, name)
    why = f"{WHY[name]}, by their logarithm"
    return Dimension(f"train.adapter.{name}", "int", min(low, now), max(high, now), log=True, why=why)


def _duration(now: Duration, rows: int) -> Dimension:
    """Half of what the spec has, that, and twice that, in its own unit."""
    whole = now.unit != "seconds"
    values = {max(1.0, round(now.value * factor)) if whole else now.value * factor for factor in (0.5, 1.0, 2.0)}
    choices = tuple(str(Duration(value, now.unit)) for value in sorted(values | {now.value}))
    why = f"half, once and twice {now}, which {rows:,} rows asked for: small data want longer (Mosbach et al. 2021)"
    return Dimension("train.duration", "choice", choices=choices, why=why)


def _batch(now: Batch, rows: int) -> Dimension:
    if now.unit != "rows":
        values = (max(1, int(now.value // 2)), int(now.value), int(now.value * 2))
        choices = tuple(str(Batch(value, "tokens")) for value in values)
        return Dimension("train.batch", "choice", choices=choices, why=f"half, once and twice {now}")
    low = min(8, max(1, rows // STEPS_AN_EPOCH))
    high = max(2 * low, min(LARGEST_BATCH, rows // STEPS_AN_EPOCH))
    why = f"8 to {LARGEST_BATCH} rows, and at least {STEPS_AN_EPOCH} steps an epoch of {rows:,} rows"
    low, high = min(low, int(now.value)), max(high, int(now.value))
    return Dimension("train.batch", "int", low, high, log=True, why=f"{why} (Masters and Luschi 2018)")


def _choice(path: str, part: Any, usual: tuple[Any, ...]) -> Dimension:
    name = path.rpartition(".")[2]
    now = getattr(part, name)
    choices = usual if now in usual else (now, *usual)
    return Dimension(path, "choice", choices=choices, why=WHY[name])


def _head(optimizer: Any) -> Dimension:
    return _range("train.optimizer.head", optimizer, _two_digits(0.3 * optimizer.head), _two_digits(3 * optimizer.head))


def _range(path: str, part: Any, low: float, high: float) -> Dimension:
    name = path.rpartition(".")[2]
    now = getattr(part, name)
    return Dimension(path, "float", min(low, now), max(high, now), log=True, why=WHY[name])


def _two_digits(value: float) -> float:
    return float(f"{value:.1e}")
