"""A training to be killed. Appends the rows of every step to a journal, and `done` at the end."""

from __future__ import annotations

import time
from pathlib import Path

from train_tiny import causal, rows, stage

from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.loop import fit
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.watchers.early_stop import EarlyStop


class Noting(Sft):
    """Sft that remembers which rows it saw."""

    def batch(self, examples, model):
        batch = super().batch(examples, model)
        SEEN.extend(batch.ids)
        return batch


SEEN: list[str] = []


def main(folder: Path, journal: Path, epochs: int) -> None:
    settings = stage(
        duration=f"{epochs} epochs",
        validate_every="3 steps",
        micro_batch="3 rows",
        watch=[EarlyStop(patience=99)],
        seed=3,
    )
    checkpoints = Checkpoints(folder, save_every=0.0)
    model = causal(dropout=0.2)
    with journal.open("a") as file:
        for step in fit(model, rows(30), Noting(), train=settings, checkpoints=checkpoints):
            file.write(f"{step.number} {step.loss!r} {','.join(sorted(SEEN))}\n")
            file.flush()
            SEEN.clear()
            time.sleep(0.01)
        file.write("done\n")
