"""What adapters, objectives, optimizers, schedules and watchers hold to, on tiny models.

Nothing here imports torch before a check runs. B rows, T tokens.
"""

from __future__ import annotations

import copy
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tunesmith.errors import ModelError
from tunesmith.part import ADAPTERS

if TYPE_CHECKING:
    from tunesmith.data.encode.example import Example
    from tunesmith.models.model import Model
    from tunesmith.testing.tiny import Shape

LABELS = ("delivery", "billing", "account")
TAGS = ("O", "B-LOC", "I-LOC")
SHAPES: tuple[Shape, ...] = ("llama", "bert", "t5")
"""One of each family: causal, encoder, encoder-decoder."""


@contextmanager
def tiny(shape: Shape, head: str = "lm") -> Iterator[Model]:
    """A tiny model, opened as any other."""
    from tunesmith.models.load import open_model
    from tunesmith.testing.tiny import tiny_model

    names = {"classify": LABELS, "tag": TAGS}.get(head, ())
    with tempfile.TemporaryDirectory() as folder:
        path = tiny_model(Path(folder) / shape, shape)
        yield open_model(str(path), workspace=Path(folder), head=head, labels=names)  # type: ignore[arg-type]


def examples(model: Model) -> list[Example]:
    """Rows of several lengths that fit every objective, one of them heavier than the others."""
    from tunesmith.data.encode.example import Example

    draw = np.random.default_rng(0)
    made = []
    for number, length in enumerate((5, 12, 3, 9)):
        ids = draw.integers(8, 200, length).astype(np.int32)
        trained = np.zeros(length, dtype=np.bool_)
        trained[length // 2 :] = True
        made.append(
            Example(
                f"r{number}",
                ids,
                trained,
                np.zeros(length, dtype=np.uint8),
                weight=2.0 if number == 1 else 1.0,
                label=(number % len(LABELS),),
                tags=np.where(trained, ids % len(TAGS), -100).astype(np.int32),
                answer_ids=ids[: 2 + number] if model.family == "encoder_decoder" else None,
            )
        )
    return made


def _models(objective: Any) -> Iterator[tuple[Any, Model]]:
    """Each family the objective can be trained on, with what it learns from at hand."""
    found = False
    for shape in SHAPES:
        if objective.head == "lm" and shape == "bert":
            continue  # it has no language head to begin with
        with tiny(shape, objective.head) as model:
            taught = _taught(objective, shape)
            try:
                taught.check(model)
            except ModelError as error:
                assert error.fix
                continue
            found = True
            ADAPTERS.load("full")().attach(model, 0)  # type: ignore[attr-defined]
            model.train(False)
            yield taught, model
    assert found, "no family of models can be trained with it"


def _taught(objective: Any, shape: Shape) -> Any:
    """The objective with teachers that are not what learns."""
    if not objective.teachers():
        return objective
    with tiny(shape) as teacher:
        ADAPTERS.load("full")().attach(teacher, 0)  # type: ignore[attr-defined]
        _shake(teacher)
        return objective.taught_by(dict.fromkeys(objective.teachers(), teacher))


# Objectives


def says_what_it_needs(objective: Any) -> None:
    """The shape of its records and what stands on top of the base."""
    assert objective.need in ("text", "chat", "label", "spans")
    assert objective.head in ("lm", "classify", "tag")


def loss_is_a_sum_over_rows(plain: Any) -> None:
    """Loss and count of a batch are those of its rows one by one: no padding, no neighbour, no order counts."""
    for objective, model in _models(plain):
        rows = examples(model)
        whole = objective.batch(rows, model)
        alone = [objective.batch([row], model) for row in rows]
        assert math.isclose(whole.count, sum(batch.count for batch in alone), rel_tol=1e-6)
        assert whole.num_tokens == sum(batch.num_tokens for batch in alone)
        assert whole.num_trained == sum(batch.num_trained for batch in alone)
        assert whole.ids == [row.id for row in rows]
        together = float(objective.loss(model, whole).sum.detach())
        apart = sum(float(objective.loss(model, batch).sum.detach()) for batch in alone)
        assert math.isfinite(together)
        assert math.isclose(together, apart, rel_tol=1e-4), f"{model.family}: {together} is not {apart}"


def loss_follows_the_weights(plain: Any) -> None:
    """A row of twice the weight counts twice, in the loss and in what it is divided by."""
    for objective, model in _models(plain):
        row = examples(model)[0]
        once, twice = objective.batch([row], model), objective.batch([replace(row, weight=2.0)], model)
        assert math.isclose(twice.count, 2 * once.count, rel_tol=1e-6)
        lower, higher = (float(objective.loss(model, batch).sum.detach()) for batch in (once, twice))
        assert math.isclose(higher, 2 * lower, rel_tol=1e-4)


def loss_moves_the_model(plain: Any) -> None:
    """The loss has a finite gradient in some weight, and a step against it lowers the loss."""
    import torch

    for objective, model in _models(plain):
        batch = objective.batch(examples(model), model)
        loss = objective.loss(model, batch).sum
        weights = [weight for weight in model.trainable().values() if weight.is_floating_point()]
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        moved = [(weight, slope) for weight, slope in zip(weights, gradients, strict=True) if slope is not None]
        assert moved and all(bool(torch.isfinite(slope).all()) for _, slope in moved)
        length = math.sqrt(sum(float((slope**2).sum()) for _, slope in moved))
        assert length > 0
        with torch.no_grad():
            for weight, slope in moved:
                weight.sub_(slope * (1e-2 / length))
        assert float(objective.loss(model, batch).sum.detach()) < float(loss.detach())


# Adapters


def starts_as_the_base(adapter: Any) -> None:
    """Attached and not yet trained it changes no output by a bit, unless it says so; and something trains."""
    import torch

    for model in _carriers(adapter):
        model.train(False)
        before_BC = _read(model)
        adapter.attach(model, 0)
        model.train(False)
        assert [name for name in model.trainable() if not name.startswith("head.")], "nothing trains"
        assert torch.equal(_read(model), before_BC) == adapter.starts_as_base


def trains_what_it_counts(adapter: Any) -> None:
    """As many parameters train as it says beforehand."""
    for model in _carriers(adapter):
        counted = adapter.count(model)
        adapter.attach(model, 0)
        trained = {name: weight for name, weight in model.trainable().items() if not name.startswith("head.")}
        assert counted == sum(weight.numel() for weight in trained.values())


def is_saved_and_goes_on(adapter: Any) -> None:
    """Saved and opened again it gives the same outputs, bit for bit, and the same weights train."""
    import torch

    from tunesmith.models.load import open_model

    for model in _carriers(adapter):
        adapter.attach(model, 0)
        _shake(model)
        model.train(False)
        trained_BC = _read(model)
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder) / "saved")
            again = open_model(str(Path(folder) / "saved"), workspace=Path(folder))
        assert torch.equal(_read(again), trained_BC)
        adapter.attach(again, 1)
        assert set(again.trainable()) == set(model.trainable())


def _carriers(adapter: Any) -> Iterator[Model]:
    """Each family the adapter can be put on."""
    found = False
    for shape in SHAPES:
        with tiny(shape, "classify") as model:
            try:
                adapter.count(model)
            except ModelError as error:
                assert error.fix
                continue
            found = True
            yield model
    assert found, "no family of models can carry it"


def _shake(model: Model) -> None:
    import torch

    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.trainable().values():
            weight.add_(0.02 * torch.randn(weight.shape, generator=draw))


def merges_without_a_trace(adapter: Any) -> None:
    """Folded into the weights, a trained adapter gives the same outputs; one that cannot be says so."""
    import torch

    with tiny("llama", "classify") as model:
        adapter.attach(model, 0)
        _shake(model)
        model.train(False)
        trained_BC = _read(model)
        if not adapter.mergeable:
            try:
                adapter.merge(model)
            except ModelError as error:
                assert error.fix
            else:
                raise AssertionError("it says that it cannot be merged, and then merges")
            return
        adapter.merge(model)
        model.train(False)
        assert torch.allclose(_read(model), trained_BC, atol=1e-4)


def _read(model: Model) -> Any:
    import torch

    ids_BT = torch.tensor([[9, 30, 77, 12], [14, 15, 0, 0]])
    with torch.no_grad():
        return model.logits(ids_BT, torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]], dtype=torch.bool))


# Optimizers


def goes_downhill(optimizer: Any) -> None:
    """It lowers a bowl, moves every weight it is given, and goes on from a saved state as if never stopped."""
    import torch

    optimizer = type(optimizer).model_validate({**dict(optimizer), "lr": 0.05})

    def start() -> tuple[dict[str, Any], Any]:
        weights = {"matrix": torch.ones(3, 2), "vector": torch.ones(3)}
        for weight in weights.values():
            weight.requires_grad_(True)
        return weights, optimizer.build(weights)

    def step(weights: dict[str, Any], mover: Any) -> float:
        loss = sum((weight**2).sum() for weight in weights.values())
        mover.zero_grad()
        loss.backward()
        mover.step()
        return float(loss.detach())

    weights, mover = start()
    losses = [step(weights, mover) for _ in range(10)]
    assert losses[-1] < losses[0]
    assert all(not torch.equal(weight, torch.ones_like(weight)) for weight in weights.values())
    state, saved = copy.deepcopy(mover.state_dict()), {name: w.detach().clone() for name, w in weights.items()}
    step(weights, mover)
    again, other = start()
    with torch.no_grad():
        for name, weight in again.items():
            weight.copy_(saved[name])
    other.load_state_dict(state)
    step(again, other)
    assert all(torch.equal(again[name], weights[name]) for name in weights)


# Schedules


def rises_then_stays_within_its_peak(schedule: Any) -> None:
    """The factor climbs over the warm-up, is one at its end, and lies between 0 and 1 to the last step."""
    for total, warmup in ((100, 10), (7, 0), (1, 0), (50, 50)):
        factors = [schedule.factor(step, total, warmup) for step in range(total)]
        assert all(math.isfinite(factor) and 0 <= factor <= 1 for factor in factors)
        assert factors[:warmup] == sorted(factors[:warmup])
        assert warmup >= total or math.isclose(factors[warmup], 1.0, abs_tol=1e-12), "the peak is not reached"
        cooled = [schedule.factor(step, total, warmup, 3) for step in range(max(warmup, total - 3), total)]
        assert cooled == sorted(cooled, reverse=True), "it rises while it cools down"


def is_a_function_of_the_step(schedule: Any) -> None:
    """The same step has the same factor, in whatever order steps are asked for: nothing needs saving."""
    steps = list(range(40))
    forward = [schedule.factor(step, 40, 4) for step in steps]
    backward = [schedule.factor(step, 40, 4) for step in reversed(steps)]
    assert forward == backward[::-1]


# Watchers


def remembers_in_plain_values(watcher: Any) -> None:
    """Its memory starts fresh, is JSON at every step, and a watcher whose memory was saved judges no differently."""
    assert watcher.start() == watcher.start() and watcher.start() is not watcher.start()
    kept, saved = watcher.start(), watcher.start()
    for step in _steps():
        saved = json.loads(json.dumps(saved, allow_nan=False))
        assert watcher.after(step, kept) == watcher.after(step, saved)
        assert json.loads(json.dumps(kept)) == json.loads(json.dumps(saved))


def stops_with_a_reason(watcher: Any) -> None:
    """It says nothing, or why training should end."""
    memory = watcher.start()
    for step in _steps():
        said = watcher.after(step, memory)
        assert said is None or (isinstance(said, str) and said), f"{said!r} is no reason"


def _steps() -> Iterator[Any]:
    """A training whose validation gets better, then worse."""
    from tunesmith.train.step import Step

    for number in range(1, 25):
        loss = 3.0 - 0.2 * number if number < 10 else 1.0 + 0.1 * number
        figures = {"loss": loss, "accuracy": 1 / loss, "f1_macro": 1 / loss} if number % 2 == 0 else None
        yield Step(
            number=number,
            total=24,
            epoch=number / 8,
            loss=loss,
            lr=1e-3,
            grad_norm=1.0,
            rows=8,
            trained=40,
            tokens=64 * number,
            seconds=0.1 * number,
            validation=figures,
        )


CHECKS: dict[str, tuple[Callable[[Any], None], ...]] = {
    "adapters": (starts_as_the_base, trains_what_it_counts, is_saved_and_goes_on, merges_without_a_trace),
    "objectives": (says_what_it_needs, loss_is_a_sum_over_rows, loss_follows_the_weights, loss_moves_the_model),
    "optimizers": (goes_downhill,),
    "schedules": (rises_then_stays_within_its_peak, is_a_function_of_the_step),
    "watchers": (remembers_in_plain_values, stops_with_a_reason),
}
