"""What keeping the frozen layers' outputs is worth: the same training with and without, step by step in turns.

    python benchmarks/trunk_cache.py [--rows 32] [--epochs 3] [--top 8] [--ways full lora] [--cache memory]

A random model of SmolLM2-135M's shape learns with its top layers, in bf16 where the machine multiplies it natively and
else in fp32, rows of lognormal lengths (180 tokens in the mean), the last two fifths of each trained. Both trainings
learn the same batches: a step of one, then the same step of the other, each first as often as second. Printed are
rates by the clock, their ratio by the clock and by the processor's time, which other work on the machine disturbs
less, and how busy the machine was.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tunesmith.data.encode.example import Example
from tunesmith.models.adapters.full import Full
from tunesmith.models.adapters.lora import Lora
from tunesmith.models.load import Model, open_model
from tunesmith.spec.quantity import Batch, Duration, Every
from tunesmith.spec.sections import Freeze, Train
from tunesmith.testing.tiny import tiny_model
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.loop import fit
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.optimizers.adamw import AdamW
from tunesmith.train.schedules.constant import Constant
from tunesmith.train.step import Step

BATCH = 8
SHAPE: dict[str, Any] = {
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "initializer_range": 0.02,
}


def rows(count: int, mean: float = 180.0, longest: int = 1024, seed: int = 0) -> list[Example]:
    """Rows of lognormal lengths, the last two fifths of each trained."""
    draw = np.random.default_rng(seed)
    spread = 0.8
    lengths = draw.lognormal(np.log(mean) - spread**2 / 2, spread, count).clip(8, longest).astype(int)
    made = []
    for number, length in enumerate(lengths):
        ids = draw.integers(10, SHAPE["vocab_size"], length).astype(np.int32)
        trained = np.arange(length) >= 0.6 * length
        made.append(Example(f"row-{number}", ids, trained, np.zeros(length, dtype=np.uint8)))
    return made


def opened(folder: Path, way: str, top: int) -> Model:
    """The model, ready to train its top layers."""
    model = open_model(str(folder), workspace=folder, head="lm")
    (Lora(top_layers=top) if way == "lora" else Full()).attach(model, 0)
    return model


def stage(way: str, top: int, cache: str, epochs: int) -> Train:
    """What both trainings have in common, and where one keeps what the frozen layers say."""
    return Train.model_validate(
        {
            "objective": Sft(),
            "duration": Duration(epochs, "epochs"),
            "batch": Batch(BATCH, "rows"),
            "optimizer": AdamW(lr=1e-4),
            "schedule": Constant(),
            "watch": [],
            "precision": "auto",
            "validate_every": Every(1000, "epochs"),
            "freeze": Freeze(layers=SHAPE["num_hidden_layers"] - top if way == "full" else 0, cache=cache),
        }
    )


@dataclass
class Training:
    """One of the two, and what its steps took."""

    steps: Iterator[Step]
    clock: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def go_on(self) -> None:
        """One step."""
        clock, processor = time.perf_counter(), time.process_time()
        self.losses.append(next(self.steps).loss)
        self.clock.append(time.perf_counter() - clock)
        self.processor.append(time.process_time() - processor)


def compare(folder: Path, way: str, given: argparse.Namespace) -> str:
    """Trains both in turns; a row of the table."""
    examples = rows(given.rows)
    pair = []
    for cache in ("off", given.cache):
        checkpoints = Checkpoints(Path(tempfile.mkdtemp(dir=folder)), save_every=1e9)
        train = stage(way, given.top, cache, given.epochs)
        pair.append(
            Training(fit(opened(folder, way, given.top), examples, Sft(), train=train, checkpoints=checkpoints))
        )
    plain, kept = pair
    per_epoch = math.ceil(given.rows / BATCH)
    for number in range(given.epochs * per_epoch):
        for training in pair if number % 2 else pair[::-1]:
            training.go_on()
    tokens = sum(example.num_tokens for example in examples)
    rates = [
        round(epochs * tokens / sum(training.clock[part]))
        for part, epochs in ((slice(per_epoch), 1), (slice(per_epoch, None), given.epochs - 1))
        for training in pair
    ]
    later = slice(per_epoch, None)
    ratios = [
        [one / other for one, other in zip(without[later], with_it[later], strict=True)]
        for without, with_it in ((plain.clock, kept.clock), (plain.processor, kept.processor))
    ]
    shown = [f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})" for found in ratios]
    all_epochs = sum(plain.processor) / sum(kept.processor)
    apart = max(abs(one - other) / one for one, other in zip(plain.losses, kept.losses, strict=True))
    cells = [
        f"{way}, top {given.top} of {SHAPE['num_hidden_layers']}",
        *rates,
        *shown,
        f"{all_epochs:.2f}",
        f"{apart:.0e}",
    ]
    return f"| {' | '.join(map(str, cells))} | {os.getloadavg()[0]:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--top", type=int, default=8, help="layers that train")
    parser.add_argument("--ways", nargs="+", choices=("full", "lora"), default=("full", "lora"))
    parser.add_argument("--cache", choices=("memory", "disk"), default="memory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = tiny_model(Path(name), "llama", **SHAPE)
        columns = [
            *("trains", "first epoch, tokens/s", "kept", "later epochs, tokens/s", "kept"),
            *("ratio by the clock", "by the processor", f"all {given.epochs} epochs", "losses differ by", "load"),
        ]
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
        for way in given.ways:
            print(compare(folder, way, given), flush=True)


if __name__ == "__main__":
    main()
