"""The stage before a training that finds out what `find` asks for, in under a twentieth of the training's tokens.

Every measurement opens a model of its own and is kept in `find/N/` as it is made: nothing of it reaches the training
but the numbers, and one that was killed goes on with what is missing.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, cast

from tunesmith.errors import NonFinite
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.environment import free_memory, memory_mb, on_gpu
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.flow.training import begin_stage, encode_stage
from tunesmith.flow.training.found import found_file
from tunesmith.flow.training.settle import without_cache
from tunesmith.models.load import Model
from tunesmith.part import SCHEDULES
from tunesmith.runs import Run, read_json, write_json
from tunesmith.spec.quantity import Batch, Duration, Every, Stretch
from tunesmith.spec.sections import Train
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.find.noise import FEWEST as FEWEST_GROUPS
from tunesmith.train.find.noise import Noise, noise_scale, sketch
from tunesmith.train.find.rate import FACTORS, FEWEST, FoundRate, Probe, decide
from tunesmith.train.find.speed import Timed, plateau
from tunesmith.train.loop import fit
from tunesmith.train.objectives import Objective
from tunesmith.train.order.batches import Batches
from tunesmith.train.order.horizon import Horizon, Position

SHARE = 0.05
"""Of the training's tokens: the most that looking may take."""
GROUPS = 16
"""Groups of rows whose gradients are held against each other."""
HELD_AT_ONCE = 4
"""Rows whose mean loss is one of the figures that are compared."""
CUTS = (8, 4, 2, 1)
"""Into how many parts a step is cut to see how fast it is."""


def find(
    run: Run, request: Request, job: Job, number: int, start: str, narrator: Narrator, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Measures, writes `find/N/found.json`, and returns what was found.

    Raises:
        Interrupted: `stop` said so; what was measured is kept.
    """
    look = _Look.of(run, request, job, number, start, narrator, stop)
    wanted = [what for what in job.spec.find if look.derived(what)]
    shares = {"lr": 0.7, "batch": 0.3} if len(wanted) == 2 else dict.fromkeys(wanted, 1.0)
    rate = _find_rate(look, int(shares["lr"] * look.allowed)) if "lr" in wanted else {}
    batch = _find_batch(look, int(shares["batch"] * look.allowed)) if "batch" in wanted else {}
    spent = rate.get("tokens", 0) + batch.get("tokens", 0)
    assert spent <= look.allowed, f"looking took {spent} tokens of {look.allowed}"
    found = {"planned": look.planned, "allowed": look.allowed, "spent": spent, "rate": rate, "batch": batch}
    write_json(found_file(run, number), found)
    for part in (rate, batch):
        if part:
            narrator.say("note", text=part["says"])
    return {"lr": rate.get("lr"), "micro_batch": batch.get("micro_batch"), "spent": spent, "planned": look.planned}


@dataclass(frozen=True)
class _Look:
    """What is looked at, and how much of it."""

    run: Run
    request: Request
    job: Job
    number: int
    start: str
    narrator: Narrator
    stop: Callable[[], bool]
    examples: Sequence[Any]
    order: Any
    planned: int
    """Tokens of the training; 0 where nobody knows, for its duration is a time."""

    @classmethod
    def of(cls, run: Run, request: Request, job: Job, number: int, start: str, narrator: Narrator, stop: Any) -> _Look:
        examples, _, order = encode_stage(job, number, narrator)
        look = cls(run, request, job, number, start, narrator, stop, examples, order, 0)
        stage = look.stage
        assert stage.duration
        if stage.duration.unit == "seconds":
            return look
        batches = look.batches()
        epoch = batches.epoch(0)
        tokens = sum(int(batches.lengths[micro].sum()) for step in epoch for micro in step)
        steps = Horizon(stage.duration, batches).total(Position())
        return cls(run, request, job, number, start, narrator, stop, examples, order, int(tokens / len(epoch) * steps))

    @property
    def stage(self) -> Train:
        return self.job.spec.train[self.number]

    @property
    def allowed(self) -> int:
        return int(self.planned * SHARE)

    def derived(self, what: str) -> bool:
        """Whether the stage's setting is a rule's and nobody's own."""
        path = {"lr": "optimizer.lr", "batch": "micro_batch"}[what]
        return self.job.resolved.origins[f"train.{self.number}.{path}"].startswith("derived")

    def batches(self, micro_batch: Batch | None = None) -> Batches:
        """The training's own order, cut as asked."""
        stage, lengths = self.stage, [example.num_tokens for example in self.examples]
        assert stage.batch
        return Batches(
            lengths, batch=stage.batch, micro_batch=micro_batch or stage.micro_batch, seed=stage.seed, order=self.order
        )

    def steps_within(self, tokens: float) -> int:
        """How many of the training's first steps take no more than `tokens`."""
        batches = self.batches()
        sizes = (sum(int(batches.lengths[micro].sum()) for micro in micros) for *_, micros in batches.steps_from(0, 0))
        return sum(1 for _ in _until(accumulate(sizes), tokens))

    def open(self) -> tuple[Model, Objective, Train]:
        """A model as the training will open it, on its device, and its stage as memory settles it."""
        rows: list[Sequence[Any]] = [self.examples, ()]
        model, objective, stage, _ = begin_stage(
            self.request, self.job, self.number, self.start, Narrator(), rows, shard="off"
        )
        return model, objective, without_cache(stage)

    def train(self, lr: float, steps: int) -> tuple[Model, Objective, Probe]:
        """Trains a model of its own for so many steps: a warm-up, and then a rate that falls to nothing."""
        model, objective, stage = self.open()
        assert stage.optimizer
        schedule = SCHEDULES.load("linear").model_validate({"warmup": str(Stretch(30, "%"))})
        stage = stage.model_copy(
            update={
                "optimizer": stage.optimizer.model_copy(update={"lr": lr}),
                "duration": Duration(steps, "steps"),
                "schedule": schedule,
                "watch": [],
                "validate_every": Every(steps, "steps"),
            }
        )
        losses: list[float] = []
        tokens = 0
        with tempfile.TemporaryDirectory() as folder, suppress(NonFinite):
            for step in fit(
                model,
                self.examples,
                objective,
                train=stage,
                order=self.order,
                checkpoints=Checkpoints(Path(folder)),
                stop=self.stop,
            ):
                losses.append(step.loss)
                tokens = step.tokens
                self.narrator.progressing(f"finding: lr {lr:g}", len(losses), steps)
        if len(losses) < steps:  # the step that diverged was computed too
            tokens = sum(self.steps_sizes(len(losses) + 1))
        return model, objective, Probe(lr, tuple(losses), (), tokens)

    def held(self, steps: int) -> list[list[int]]:
        """Rows of the last steps of the first epoch, in groups: those that are asked after a short training."""
        rows = [row for micros in self.batches().epoch(0)[-max(1, steps // 2) :] for micro in micros for row in micro]
        return [rows[start : start + HELD_AT_ONCE] for start in range(0, len(rows), HELD_AT_ONCE)]

    def tokens_of(self, groups: list[list[int]]) -> int:
        return sum(self.examples[row].num_tokens for group in groups for row in group)

    def steps_sizes(self, count: int) -> list[int]:
        """Tokens of the training's first steps."""
        batches = self.batches()
        first = islice(batches.steps_from(0, 0), count)
        return [sum(int(batches.lengths[micro].sum()) for micro in micros) for *_, micros in first]

    def kept(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `measure` says, or what it said before this was broken off."""
        path = found_file(self.run, self.number).with_name(f"{name}.json")
        if not path.exists():
            write_json(path, measure())
        return cast(dict[str, Any], read_json(path))


def _until(sums: Any, most: float) -> Any:
    for whole in sums:
        if whole > most:
            return
        yield whole


def _find_rate(look: _Look, allowed: int) -> dict[str, Any]:
    derived = float(cast(Any, look.stage.optimizer).lr)
    steps = _steps_of_probe(look, allowed / len(FACTORS)) if look.planned else 0
    if steps < FEWEST:
        why = (
            f"{SHARE:.0%} of the training is {steps} steps for each of {len(FACTORS)} rates, and fewer than {FEWEST} "
            "tell nothing"
            if look.planned
            else "how long the training is cannot be told before, for its duration is a time"
        )
        return {"lr": derived, "changed": False, "says": f"lr: the derived {derived:g} stays: {why}", "tokens": 0}
    probes = []
    for factor in FACTORS:
        lr = float(f"{derived * factor:.3g}") if factor != 1 else derived
        said = look.kept(f"lr-{factor:g}", partial(_probe, look, lr, steps))
        losses, held = (tuple(map(float, said[kind])) for kind in ("losses", "held"))
        probes.append(Probe(said["lr"], losses, held, said["tokens"]))
    found: FoundRate = decide(probes, derived, steps)
    word = "found" if found.changed else "the derived"
    return {
        **asdict(found),
        "derived": derived,
        "steps": steps,
        "probes": [asdict(probe) for probe in probes],
        "says": f"lr: {word} {found.lr:g}{'' if found.changed else ' stays'}: {found.why}",
        "tokens": sum(probe.tokens for probe in probes),
    }


def _steps_of_probe(look: _Look, allowed: float) -> int:
    """How many steps a short training may have, what is asked at its end included."""
    steps = look.steps_within(allowed)
    while steps and sum(look.steps_sizes(steps)) + look.tokens_of(look.held(steps)) > allowed:
        steps -= 1
    return steps


def _probe(look: _Look, lr: float, steps: int) -> dict[str, Any]:
    model, objective, probe = look.train(lr, steps)
    held: list[float] = []
    groups = look.held(steps) if len(probe.losses) == steps else []
    model.train(False)
    for group in groups:
        batch = objective.batch([look.examples[row] for row in group], model)
        if batch.num_trained:
            held.append(_mean_loss(model, objective, batch))
    return {
        "lr": lr,
        "losses": [_plain(loss) for loss in probe.losses],
        "held": [_plain(loss) for loss in held],
        "tokens": probe.tokens + look.tokens_of(groups),
    }


def _mean_loss(model: Model, objective: Objective, batch: Any) -> float:
    import torch

    with torch.no_grad():
        return float(objective.loss(model, batch).sum / batch.count)


def _plain(loss: float) -> float | str:
    """As JSON has it."""
    return loss if math.isfinite(loss) else str(loss)


def _find_batch(look: _Look, allowed: int) -> dict[str, Any]:
    """How much at once is fastest, and for how many rows a step the gradient is worth it."""
    speed = look.kept("speed", lambda: _measure_speed(look, allowed // 2)) if look.planned else {"tried": []}
    noise = look.kept("noise", lambda: _measure_noise(look, allowed // 2)) if look.planned else {}
    tried = [Timed(**each) for each in speed["tried"]]
    best = plateau(tried)
    stage, parts = look.stage, []
    assert stage.batch and stage.micro_batch
    at_once = str(Batch(best.size, stage.batch.unit)) if best else str(stage.micro_batch)
    if best:
        slowest = min(each.speed for each in tried if each.fits)
        parts.append(f"{at_once} at once compute {best.speed:,.0f} tokens/s; the slowest size tried {slowest:,.0f}")
    else:
        parts.append(f"{at_once} at once, as derived: {SHARE:.0%} of the training is too little to time sizes")
    parts.append(noise.get("says", "how many rows a step are worth it cannot be told from so few"))
    return {
        "micro_batch": at_once if best else None,
        "tried": speed["tried"],
        "unit": stage.batch.unit,
        "noise": noise.get("noise"),
        "says": f"batch: {'; '.join(parts)}",
        "tokens": speed.get("tokens", 0) + noise.get("tokens", 0),
    }


def _measure_speed(look: _Look, allowed: int) -> dict[str, Any]:
    """Times whole steps, cut into more and less; a first one warms up."""
    batch = look.stage.batch
    assert batch
    sizes = sorted({max(1, int(batch.value // cut)) for cut in CUTS})
    steps = min(3, look.steps_within(allowed / len(sizes)) - 1)
    if steps < 1:
        return {"tried": [], "tokens": 0}
    model, objective, _ = look.open()
    model.train()
    tried: list[Timed] = []
    spent, held = 0, memory_mb()
    for size in sizes:
        micros = [micros for *_, micros in islice(look.batches(Batch(size, batch.unit)).steps_from(0, 0), steps + 1)]
        grown = max(0.0, memory_mb() - held) * 1e6
        if tried and not on_gpu() and grown * 2 > free_memory():
            tried.append(Timed(size, 0, 0.0, fits=False))
            break
        timed = [_timed_step(look, model, objective, step) for step in micros]
        spent += sum(tokens for tokens, _ in timed)
        if any(seconds is None for _, seconds in timed):
            tried.append(Timed(size, 0, 0.0, fits=False))
            break
        tokens, seconds = min(timed[1:], key=lambda step: cast(float, step[1]) / step[0])
        tried.append(Timed(size, tokens, cast(float, seconds)))
    return {"tried": [asdict(each) for each in tried], "tokens": spent}


def _timed_step(look: _Look, model: Model, objective: Objective, micros: list[list[int]]) -> tuple[int, float | None]:
    """(tokens, seconds) of both passes over a step; None where memory did not hold it."""
    import torch

    began, tokens = time.perf_counter(), 0
    try:
        for micro in micros:
            _gradient(look, model, objective, micro)
            tokens += sum(look.examples[row].num_tokens for row in micro)
        if on_gpu():
            torch.cuda.synchronize()
    except torch.OutOfMemoryError:
        return tokens, None
    return tokens, time.perf_counter() - began


def _gradient(look: _Look, model: Model, objective: Objective, rows: list[int]) -> None:
    """Leaves the gradient of the mean loss of some rows in the model's weights."""
    model.module.zero_grad(set_to_none=True)
    batch = objective.batch([look.examples[row] for row in rows], model)
    (objective.loss(model, batch).sum / max(batch.count, 1e-9)).backward()  # type: ignore[no-untyped-call]


def _measure_noise(look: _Look, allowed: int) -> dict[str, Any]:
    """The gradient noise scale after a short training, whose first steps would tell of the fresh head alone."""
    import numpy as np

    warm = look.steps_within(allowed / 3)
    mean = sum(example.num_tokens for example in look.examples) / len(look.examples)
    longest = max(example.num_tokens for example in look.examples)
    batch = look.stage.batch
    assert batch
    a_step = int(batch.value if batch.unit == "rows" else max(1.0, batch.value / mean))
    groups = min(GROUPS, len(look.examples) // max(1, a_step))
    each = min(a_step, int(allowed * 2 / 3 / (GROUPS * longest)))
    if warm < 1 or each < 1 or groups < FEWEST_GROUPS:
        return {"tokens": 0}
    model, objective, probe = look.train(float(cast(Any, look.stage.optimizer).lr), warm)
    model.train()
    rows = np.random.default_rng(look.stage.seed).permutation(len(look.examples))[: groups * each]
    found = []
    for group in rows.reshape(groups, each).tolist():
        _gradient(look, model, objective, group)
        found.append(sketch(weight.grad for weight in model.trainable().values()))
    tokens = probe.tokens + sum(look.examples[row].num_tokens for row in rows)
    noise = noise_scale(np.array(found), each)
    says = _worth(noise, warm, a_step, groups * each)
    return {"noise": asdict(noise), "says": says, "tokens": tokens}


def _worth(noise: Noise, steps: int, a_step: int, seen: int) -> str:
    """What the noise scale says of the rows that the training has a step."""
    if noise.rows is None or noise.low is None or noise.high is None:
        return f"the gradient of {seen:,} rows cannot be told from its noise: more rows a step would be worth it"
    if noise.low > a_step:
        worth = f"more than the {a_step:,} rows a step would be worth it"
    elif noise.high < a_step:
        worth = f"fewer than the {a_step:,} rows a step would do so early, and it grows"
    else:
        worth = f"{a_step:,} rows a step are about as many as are worth it"
    scale = f"{noise.rows:.2g} rows ({noise.low:.2g} to {noise.high:.2g})"
    return f"after {steps} steps the gradient noise scale is {scale}: {worth}"
