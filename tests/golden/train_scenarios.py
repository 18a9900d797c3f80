"""What is trained in the tests of more than one device: tiny models, each with something that could go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import train_ranks
import train_tiny
from test_train_distill import named, taught
from train_tiny import causal, encoder, encoder_decoder, rows, stage, weights_of

from tunesmith.models.adapters.lora import Lora
from tunesmith.spec.quantity import Every
from tunesmith.spec.sections import Freeze, Regularize
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.objectives.tag import Tag
from tunesmith.train.optimizers.sgd import Sgd
from tunesmith.train.state import put_result
from tunesmith.train.watchers.early_stop import EarlyStop
from tunesmith.train.weights.ranks import ALONE, Ranks

# 14 rows, 4 a step: the last batch of an epoch has two.
EXAMPLES = rows(14)


def with_lora() -> Any:
    model = causal()
    Lora(rank=4).attach(model, 0)
    return model


SCENARIOS: dict[str, Any] = {
    "full": (causal, Sft(), EXAMPLES, {}),
    "bf16": (causal, Sft(), EXAMPLES, {"precision": "bf16"}),
    "lora": (with_lora, Sft(), EXAMPLES, {}),
    "accumulated": (causal, Sft(), EXAMPLES, {"micro_batch": "1 rows"}),
    # Three rows, two a step: the second step has one, and a process nothing to do.
    "idle": (causal, Sft(), rows(3, longest=20), {"batch": "2 rows", "duration": "4 epochs"}),
    # In some steps a process has only rows of which nothing is trained.
    "masked": (causal, Sft(), rows(14, masked=[1]), {"batch": "2 rows"}),
    "classify": (lambda: encoder("classify"), Classify(), EXAMPLES, {"batch": "5 rows"}),
    "tag": (lambda: encoder("tag", classes=4), Tag(), EXAMPLES, {}),
    "t5": (encoder_decoder, Sft(), rows(14, answers=True), {}),
    # In each process a teacher of its own.
    "distill": (lambda: named(causal()), taught(alpha=0.3), rows(14, masked=[1]), {"batch": "2 rows"}),
    "ema": (causal, Sft(), EXAMPLES, {"regularize": Regularize(ema=0.9)}),
    "unfreeze": (
        causal,
        Sft(),
        EXAMPLES,
        {"freeze": Freeze(layers=2, unfreeze=Every(3, "steps")), "duration": "3 epochs"},
    ),
    "stopped": (causal, Sft(), EXAMPLES, {"watch": [EarlyStop(patience=1, min_gain=0.5)], "duration": "9 epochs"}),
    "recomputed": (causal, Sft(), EXAMPLES, {"checkpointing": "on", "optimizer": Sgd(lr=0.5, l1=1e-3)}),
    "dropout": (lambda: causal(dropout=0.2), Sft(), EXAMPLES, {"duration": "3 epochs", "micro_batch": "1 rows"}),
}


def train(name: str, folder: Path, *, ranks: Ranks = ALONE, steps: int | None = None, **more: Any) -> None:
    """Trains a scenario and leaves its steps and weights in `folder`.

    `steps` stops it early, resumable: the last process is asked to, and tells the others.
    """
    build, objective, examples, changes = SCENARIOS[name]
    model = build()
    settings = stage(**{"validate_every": "3 steps", **changes})
    steps = steps if ranks.rank == ranks.count - 1 else None
    validation = rows(5, seed=1, answers=name == "t5")
    done = train_tiny.train(
        folder / "checkpoints", model, examples, objective, train=settings, validation=validation, ranks=ranks,
        steps=steps, **more,
    )  # fmt: skip
    if ranks.shard:
        model = build()
        ranks.told(None)
        put_result(model, settings, Checkpoints(folder / "checkpoints"))
    train_ranks.leave(folder, ranks.rank, done, weights_of(model))
