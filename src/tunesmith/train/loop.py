"""The training loop: one straight line for every objective.

An optimizer step learns from one global batch, cut into micro-batches for memory's sake only: the losses of all are
summed and divided by the count of trained targets in the whole batch, so the gradient does not depend on the cut.
Several processes share the rows of a batch out; their sums are added up.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from tunesmith.errors import DataError, Interrupted, NonFinite
from tunesmith.models.layers.depth import depths
from tunesmith.models.layers.freeze import freeze, release
from tunesmith.models.layers.kept import Keeper, kept_trunk
from tunesmith.models.layers.lora_groups import grouped, lora_groups
from tunesmith.models.layers.native.use import by_kernels, replaceable
from tunesmith.models.layers.standing import fill_gradients
from tunesmith.models.packing.rows import packs
from tunesmith.runs import fingerprint
from tunesmith.spec.quantity import Every
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.measure import mean_loss, rows_at_once
from tunesmith.train.objectives import Batch, Objective
from tunesmith.train.optimizers import Optimizer
from tunesmith.train.order.batches import Batches, Micro
from tunesmith.train.order.epochs import Order
from tunesmith.train.order.horizon import Horizon, Position
from tunesmith.train.regularize import dropout, noise
from tunesmith.train.schedules import Schedule
from tunesmith.train.state import State, capture, print_of_examples, print_of_trunk, restore, seed_everything
from tunesmith.train.step import Step, amounts, named
from tunesmith.train.watchers import Watcher, gain
from tunesmith.train.weights import Weights, choose_precision
from tunesmith.train.weights.memory import memory_held, recall, recomputed, return_free_memory
from tunesmith.train.weights.private import Noisy
from tunesmith.train.weights.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Example
    from tunesmith.models.layers.trunk import Trunk
    from tunesmith.models.load import Model
    from tunesmith.spec.sections import Train

NO_MATTER: Any = {"checkpointing": True, "freeze": {"cache"}}
"""Settings that change no result: a training goes on where less or more memory is free."""
TRIM_EVERY = 10
"""Optimizer steps between two times that freed memory is given back to the system."""


def fit(
    model: Model,
    examples: Sequence[Example],
    objective: Objective,
    *,
    train: Train,
    checkpoints: Checkpoints,
    order: Order | None = None,
    validation: Sequence[Example] = (),
    validate: Callable[[], Mapping[str, float]] | None = None,
    stop: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
    keeper: Keeper | None = None,
) -> Iterator[Step]:
    """Trains `model` in place, one optimizer step each time the next `Step` is asked for.

    Goes on from the latest checkpoint where there is one, as if it had never stopped: on a CPU with the
    same number of threads, bit for bit, unless the duration is a time. Once the iterator is exhausted the
    model holds its best weights by the validation figure, or its last where nothing was validated.

    Args:
        model: what learns; `objective` says which head it needs.
        examples: what it learns from.
        objective: how.
        train: the resolved stage, its optimizer with an `lr`; checkpointing is `on`, or not done.
        checkpoints: where its state is kept, at validations, every `save_every` seconds and at the end.
        order: which examples an epoch holds, and by what they are sorted; each once, at random, when None.
        validation: examples whose loss is measured at every validation.
        validate: further validation figures, by name; called with the model in evaluation mode.
        stop: asked before every step; True, in any process, saves and ends.
        ranks: the processes that train together; each calls `fit` alike, and the first one writes the checkpoints.
        keeper: keeps what frozen layers say beyond this training, for others of the same rows.

    Raises:
        Interrupted: `stop` said so; the state is saved.
        NonFinite: a loss or gradient is NaN or infinite; the message names the rows.
        GateFailed: the checkpoint belongs to other data or settings.
        DataError: nothing can be learned from a batch.
    """
    training = _Training(model, examples, objective, train, checkpoints, order, validation, validate, ranks)
    with training.computing():
        together = [] if ranks.shard else lora_groups(model)
    again, faster = recomputed(model, train.checkpointing == "on"), by_kernels(training.device, training.replaced)
    with memory_held(), dropout(model, train.regularize.dropout), again, faster, grouped(together):
        with training.computing():
            training.keep_trunk(kept_trunk(model, train), train, keeper or Keeper())
        yield from _steps(training, examples, stop)
    training.keep_best()


def _steps(training: _Training, examples: Sequence[Example], stop: Callable[[], bool]) -> Iterator[Step]:
    """The steps that are left."""
    objective, model, ranks = training.objective, training.model, training.ranks
    schedule, at = training.schedule, training.state.position
    for epoch, index, micros in training.batches.steps_from(at.epoch, at.index):
        before = training.state.position
        if training.ended:
            break
        if ranks.any(stop()):
            training.save()
            raise Interrupted(
                f"stopped after step {before.step}", where="train", fix="give the same command again to go on"
            )
        training.release()
        batches = [objective.batch([examples[row] for row in micro], model) for micro in training.share(micros)]
        rows = [examples[row].id for micro in micros for row in micro]
        whole = ranks.sums(amounts(batches))
        loss, metrics = training.accumulate([*batches, *training.idle(micros, len(batches))], whole["count"], rows)
        norm = training.clip(rows, loss)
        total = training.horizon.total(before)
        stretches = (training.horizon.steps(stretch, total) for stretch in (schedule.warmup, schedule.cooldown))
        factor = schedule.factor(before.step, total, *stretches)
        lr = training.update(factor)
        training.advance(epoch, index, int(whole["tokens"]))
        step = Step(
            number=before.step + 1,
            total=total,
            epoch=training.horizon.epochs(training.state.position),
            loss=loss,
            lr=lr,
            grad_norm=norm,
            rows=len(rows),
            trained=int(whole["trained"]),
            tokens=training.state.position.tokens,
            seconds=training.state.position.seconds,
            metrics=metrics,
        )
        step = training.look(step, before)
        yield step
        # Only once the consumer has noted the step: killed before that, the step is taken again and noted.
        if step.saved:
            training.save()


class _Training:
    """What one `fit` works with. Its methods are the parts of a step."""

    def __init__(
        self,
        model: Model,
        examples: Sequence[Example],
        objective: Objective,
        train: Train,
        checkpoints: Checkpoints,
        order: Order | None,
        validation: Sequence[Example],
        validate: Callable[[], Mapping[str, float]] | None,
        ranks: Ranks,
    ) -> None:
        objective.check(model)
        if not examples:
            raise DataError("there are no rows to train on", where="data", fix="look at `tunesmith check`")
        assert train.duration and train.batch, "fit needs a resolved stage"
        self.optimizer_part = cast(Optimizer, train.optimizer)
        self.schedule = cast(Schedule, train.schedule)
        self.model, self.objective, self.checkpoints, self.ranks = model, objective, checkpoints, ranks
        self.examples, self.validation, self.validate = examples, validation, validate
        self.device = ranks.device if ranks.shard else model.device
        self.every = train.validate_every or Every(1, "epochs")
        self.watchers: list[Watcher] = cast(list[Watcher], train.watch or [])
        self.figure = next((watcher.figure for watcher in self.watchers if watcher.figure), "loss")
        self.validation_rows = rows_at_once(train)
        lengths = [example.num_tokens for example in examples]
        self.private = Noisy.of(train, lengths, checkpoints.folder) if train.regularize.private else None
        plain = Batches(lengths, batch=train.batch, micro_batch=train.micro_batch, seed=train.seed, order=order)
        self.batches = self.private.batches if self.private else plain
        self.horizon = Horizon(train.duration, self.batches)
        self.prints = {
            "data": print_of_examples(examples, validation),
            "order": self.batches.order.digest,
            "settings": fingerprint([train.model_dump(mode="json", exclude=NO_MATTER), objective.settings()]),
        }
        self.seed, self.freeze, self.regularize = train.seed, train.freeze, train.regularize
        seed_everything(self.seed, ranks.rank)
        self.waiting = freeze(model, train.freeze)
        objective.join(model, train.seed)
        packs(model)  # both are measured before weights are rounded
        self.replaced = replaceable(model)
        self.weights = Weights(model, choose_precision(train.precision, self.device), train.regularize.ema, ranks)
        self.optimizer: torch.optim.Optimizer = self.optimizer_part.build(self.weights.masters, depths(model))
        self.state = self._open()
        self.unsaved, self.opened = False, time.monotonic() - self.state.position.seconds
        model.train()

    def _open(self) -> State:
        saved = self.ranks.in_turn(self.checkpoints.latest)
        if saved is None:
            return State(memories=[watcher.start() for watcher in self.watchers])
        seed_everything(self.seed, self.ranks.rank, saved.state["step"])
        where = str(self.checkpoints.folder)
        return restore(saved, self.weights, self.optimizer, self.prints, self.device, where, self.ranks.rank)

    def keep_trunk(self, trunk: Trunk | None, train: Train, keeper: Keeper) -> None:
        """From now on computes the frozen layers once for each row."""
        folder = self.checkpoints.folder if self.freeze and self.freeze.cache == "disk" else None
        print_ = print_of_trunk(self.model, train, trunk, self.prints) if trunk else ""
        self.kept, self.kept_validation = (
            keeper.kept(print_, name, trunk, sum(example.num_tokens for example in rows), folder)
            for name, rows in (("train", self.examples), ("validation", self.validation))
        )
        if trunk is not None and not self.ended:
            at = self.state.position
            done = takewhile(lambda step: step[:2] != (at.epoch, at.index), self.batches.steps_from(0, 0))
            micros = (micro for *_, step in done for micro in self.share(step))
            recall(self.kept, self.model, self.objective, self.examples, micros)

    @property
    def ended(self) -> bool:
        return self.state.stopped is not None or self.horizon.ended(self.state.position)

    def computing(self) -> AbstractContextManager[None]:
        """Where the model computes: in the precision of the stage."""
        return self.weights.halved.computing(self.device)

    def release(self) -> None:
        """Lets frozen layers learn whose turn has come: a function of the position, so a resume needs no more."""
        if self.freeze and self.freeze.unfreeze:
            released = self.horizon.times(self.freeze.unfreeze, self.state.position)
            release(self.weights.working, self.waiting, released)

    def share(self, micros: list[Micro]) -> list[Micro]:
        """What this process computes of a step."""
        return self.batches.share(micros, self.ranks.rank, self.ranks.count)

    def idle(self, micros: list[Micro], done: int) -> list[Batch]:
        """Batches of nothing for a process with fewer than others: what is cut into shards all compute together."""
        if not self.ranks.shard:
            return []
        most = max(len(self.batches.share(micros, rank, self.ranks.count)) for rank in range(self.ranks.count))
        batch = self.objective.batch([self.examples[micros[0][0]]], self.model)
        return [replace(batch, num_trained=0, num_tokens=0, count=0.0)] * (most - done)

    def accumulate(self, batches: list[Batch], count: float, rows: list[str]) -> tuple[float, dict[str, float]]:
        """Gradients of the mean loss over the whole step; returns that mean, and the metrics'.

        Args:
            batches: what this process computes.
            count: what the summed losses of all processes are divided by.
            rows: the names of all rows of the step.
        """
        if count <= 0 and not self.private:
            raise DataError(
                "a batch holds nothing to learn from: every token of it is masked",
                where=named(rows),
                fix="look at these rows with `tunesmith check`",
            )
        self.optimizer.zero_grad()
        sums: dict[str, Tensor] = {}
        for batch in batches:
            if batch.num_trained:
                noisy = noise(self.model, self.regularize.neftune, batch.lengths_B)
                with self.computing(), noisy, self.kept.reading(batch.tensors):
                    loss = self.objective.loss(self.model, batch)
                fill_gradients(loss.sum / (batch.num_trained if self.private else count))
                self.weights.gather()
                if self.private:
                    self.private.take(self.weights.masters)
                for name, value in {**loss.metrics, "loss": loss.sum}.items():
                    sums[name] = sums.get(name, 0.0) + value.detach()
            elif self.ranks.shard:
                with self.computing():
                    nothing = self.objective.loss(self.model, batch).sum * 0.0
                fill_gradients(nothing)
                self.weights.gather()
        if self.private:
            self.private.give(self.weights.masters, self.state.position.step)
        self.weights.add_up()
        summed = self.ranks.sums({name: float(value) for name, value in sums.items()})
        means = {name: value / count for name, value in summed.items()}
        return means.pop("loss", 0.0), means  # where no row was drawn, there is none

    def clip(self, rows: list[str], loss: float) -> float:
        """Shortens the whole gradient, once; returns its length before."""
        gradients = self.weights.gradients()
        norm = self.weights.norm()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            what = "loss" if not math.isfinite(loss) else "gradient"
            watched = zip(self.watchers, self.state.memories, strict=True)
            known = [advice for watcher, memory in watched if (advice := watcher.remedy(memory))]
            usual = "look at these rows; if they are sound, lower train.optimizer.lr or set train.precision to fp32"
            raise NonFinite(
                f"the {what} of step {self.state.position.step + 1} is not finite (loss {loss:g}, gradient {norm:g})",
                where=named(rows),
                fix="; ".join(known) or usual,
            )
        if self.optimizer_part.clip is not None:
            scale = self.optimizer_part.clip / (norm + 1e-6)
            if scale < 1:
                torch._foreach_mul_(gradients, scale)
        return norm

    def update(self, factor: float) -> float:
        """Moves the weights; returns the learning rate."""
        lr = (self.optimizer_part.lr or 0.0) * factor
        self.optimizer_part.move(self.optimizer, lr)
        self.weights.publish()
        self.weights.follow(self.state.position.step)
        return lr

    def advance(self, epoch: int, index: int, tokens: int) -> None:
        """Moves the position past the step just done."""
        last = index + 1 == len(self.batches.epoch(epoch))
        at = self.state.position
        self.state.position = Position(
            epoch=epoch + 1 if last else epoch,
            index=0 if last else index + 1,
            step=at.step + 1,
            tokens=at.tokens + tokens,
            # One clock for all: what ends by it must end everywhere.
            seconds=self.ranks.told(time.monotonic() - self.opened)[0],
        )
        self.unsaved = True

    def look(self, step: Step, before: Position) -> Step:
        """Validates and asks the watchers; returns the completed step, which says whether it is time to save."""
        now = self.state.position
        best = False
        if self.horizon.passed(self.every, before, now) or self.horizon.ended(now):
            step = replace(step, validation=self._measure())
            best = self._note_best(step)
        watched = list(zip(self.watchers, self.state.memories, strict=True))
        reasons = [watcher.after(step, memory) for watcher, memory in watched]
        self.state.stopped = next((reason for reason in reasons if reason), None)
        notes = tuple(note for watcher, memory in watched for note in watcher.notes(step, memory))
        if step.number % TRIM_EVERY == 0:
            return_free_memory()
        due = step.validation is not None or self.ended or self.ranks.told(self.checkpoints.due)[0]
        return replace(step, best=best, notes=notes, stop=self.state.stopped, saved=due)

    def _measure(self) -> dict[str, float] | None:
        """The validation figures; None where there is nothing to measure."""
        if not self.validation and self.validate is None:
            return None
        self.model.train(False)
        # Whatever is drawn at random while measuring must not change what is learned afterwards.
        drawn = torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else [])
        with drawn, self.computing(), self.weights.lent():
            # Of layers cut into shards all processes compute the same.
            computes = self.ranks.first or self.ranks.shard
            figures: dict[str, float] = dict(self.validate()) if self.validate and computes else {}
            figures = dict(self.ranks.told(figures)[0])
            if self.validation:
                figures["loss"] = mean_loss(
                    self.model,
                    self.validation,
                    self.objective,
                    rows=self.validation_rows,
                    ranks=ALONE if self.ranks.shard else self.ranks,
                    kept=self.kept_validation,
                )
        self.model.train(True)
        return figures

    def _note_best(self, step: Step) -> bool:
        if step.validation is None or self.figure not in step.validation:
            return False
        value = step.validation[self.figure]
        if gain(self.figure, value, self.state.best_value) <= 0:
            return False
        best = self.weights.whole((name, name, weight) for name, weight in self.weights.result.items())
        if self.ranks.first:
            self.checkpoints.save_best(step.number, best)
        self.state.best_step, self.state.best_value = step.number, value
        return True

    def save(self) -> None:
        """Writes a checkpoint of the position reached, once."""
        if self.unsaved:
            saved = capture(self.state, self.weights, self.optimizer, self.prints, self.device, self.ranks)
            if self.ranks.first:
                self.checkpoints.save(self.state.position.step, saved, best=self.state.best_step)
            self.unsaved = False

    def keep_best(self) -> None:
        """Leaves the best weights in the model."""
        best, kept = self.state.best_step, None
        if best is not None and best != self.state.position.step:
            kept = self.ranks.in_turn(lambda: self.checkpoints.best(best))
        self.weights.finish(kept)
        self.model.beside = None
        self.model.train(False)
