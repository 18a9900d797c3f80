"""What is varied when nobody says it: every value is accepted by a spec, and the spec as it is lies inside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.test_spec_resolve import CHAT, PROSE, SPANS, TICKETS

from tunesmith.part import ADAPTERS, OBJECTIVES, OPTIMIZERS
from tunesmith.search.spaces import default_space
from tunesmith.search.study import Dimension
from tunesmith.spec.load import load, parse
from tunesmith.spec.resolve import Facts, resolve
from tunesmith.spec.sections import Train

FACTS = {"classify": TICKETS, "tag": SPANS, "sft": CHAT, "distill": CHAT, "pretrain": PROSE}
ROWS = (30, 400, 1_999, 9_003, 200_000)


def resolved(facts: Facts, objective: str, adapter: str, *also: str, base: str = "") -> Train:
    kind = {"distill": "{kind: distill, teacher: bundled}"}.get(objective, objective)
    lines = [f"objective: {kind}", f"adapter: {adapter}", *also]
    text = f"name: a\ndata: {{sources: [a.jsonl]}}\n{base}train:\n" + "".join(f"  {line}\n" for line in lines)
    return resolve(*parse(text, "a.yaml"), facts).spec.train[0]


def space(facts: Facts, objective: str, adapter: str, *also: str, base: str = "") -> tuple[Dimension, ...]:
    stage = resolved(facts, objective, adapter, *also, base=base)
    head = str(getattr(stage.objective, "head", ""))
    return default_space(stage, rows=facts.num_train, parameters=facts.num_parameters, head=head)


def named(dimensions: tuple[Dimension, ...]) -> dict[str, Dimension]:
    return {dimension.path.removeprefix("train."): dimension for dimension in dimensions}


def at(stage: Train, path: str) -> object:
    found: object = stage.model_dump(mode="json")
    for key in path.removeprefix("train.").split("."):
        found = found[key]  # type: ignore[index]
    return found


def test_every_objective_is_looked_at() -> None:
    assert set(FACTS) == set(OBJECTIVES.names())


@pytest.mark.parametrize("objective", FACTS)
@pytest.mark.parametrize("adapter", ADAPTERS.names())
def test_both_ends_are_accepted_and_the_spec_as_it_is_lies_inside(adapter: str, objective: str) -> None:
    for rows in ROWS:
        facts = replace(FACTS[objective], num_train=rows)
        stage = resolved(facts, objective, adapter)
        found = space(facts, objective, adapter)
        assert found and len({dimension.path for dimension in found}) == len(found)
        for dimension in found:
            now = at(stage, dimension.path)
            now = int(str(now).split()[0]) if dimension.path == "train.batch" and dimension.kind == "int" else now
            assert dimension.holds(now), (dimension, now)
            assert dimension.why and (dimension.kind == "choice" or dimension.low < dimension.high)  # type: ignore[operator]
            ends = dimension.choices if dimension.kind == "choice" else (dimension.low, dimension.high)
            for value in ends:
                said = at(put(stage, dimension.path, value), dimension.path)
                assert said == value or said in (f"{value} rows", f"{value} row"), (dimension, said)


def put(stage: Train, path: str, value: object) -> Train:
    """The stage with a value, read as a spec is read."""
    tree = stage.model_dump(mode="json")
    *above, key = path.removeprefix("train.").split(".")
    holder = tree
    for name in above:
        holder = holder[name]
    holder[key] = value
    return Train.model_validate(tree)


def test_values_are_accepted_as_overrides_of_a_file(tmp_path: Path) -> None:
    spec = tmp_path / "a.yaml"
    spec.write_text("name: a\ndata: {sources: [a.jsonl]}\ntrain: {objective: sft, adapter: {kind: qlora}}\n")
    for dimension in space(replace(CHAT, num_train=200_000), "sft", "qlora"):
        for value in dimension.choices or (dimension.low, dimension.high):
            load(spec, [f"{dimension.path}={json.dumps(value)}"])


def test_ranges_are_those_of_the_literature() -> None:
    bert = replace(TICKETS, family="encoder", num_parameters=100_000_000)
    full = named(space(bert, "classify", "full"))
    assert (full["optimizer.lr"].low, full["optimizer.lr"].high, full["optimizer.lr"].log) == (1e-5, 5e-4, True)
    lora = named(space(bert, "classify", "lora"))
    assert lora["optimizer.lr"].low == pytest.approx(10 * 1e-5) and lora["optimizer.lr"].high == pytest.approx(5e-3)
    assert (lora["adapter.rank"].low, lora["adapter.rank"].high, lora["adapter.rank"].log) == (4, 64, True)
    for kind, times in {"ia3": 20, "prefix": 100, "prompt": 20}.items():
        few = named(space(bert, "classify", kind))["optimizer.lr"]
        assert few.low == pytest.approx(times * 1e-4), kind
    small = named(space(replace(bert, num_parameters=10_000_000), "classify", "full"))["optimizer.lr"]
    assert small.low == 1e-4 and "10.0M parameters trained in full" in small.why
    sgd = named(space(bert, "classify", "full", "optimizer: {kind: sgd}"))["optimizer.lr"]
    assert sgd.low == pytest.approx(100 * 1e-5)


def test_few_rows_have_fewer_dimensions_smaller_batches_and_longer_trainings() -> None:
    found = {rows: space(replace(TICKETS, num_train=rows), "classify", "lora") for rows in ROWS}
    assert [len(found[rows]) for rows in ROWS] == [3, 3, 4, 6, 10]
    assert [d.path for d in found[30]] == [d.path for d in found[200_000]][:3]
    few, many = named(found[1_999])["batch"], named(found[200_000])["batch"]
    assert few.high == 64 and many.high == 64 and named(found[1_999])["batch"].low == 8
    tiny = named(space(replace(TICKETS, num_train=100), "classify", "full"))["batch"]
    assert (tiny.low, tiny.high) == (8, 16)  # ten steps an epoch would be 10 rows, and 8 to 16 leaves something to vary
    lengths = [named(found[rows])["duration"].choices for rows in (30, 200_000)]
    assert lengths == [("10 epochs", "20 epochs", "40 epochs"), ("1 epoch", "2 epochs", "4 epochs")]


def test_what_a_spec_has_widens_a_range_and_says_so() -> None:
    rate = named(space(TICKETS, "classify", "full", "optimizer: {lr: 0.5}"))["optimizer.lr"]
    assert rate.high == 0.5 and "widened to the 0.5 that the spec has" in rate.why
    assert named(space(TICKETS, "classify", "lora", base="base: {initialize: random}\n"))["optimizer.lr"].holds(1e-3)

    def choices(written: str, path: str) -> tuple[object, ...]:
        return named(space(replace(TICKETS, num_train=200_000), "classify", "full", written))[path].choices

    assert choices("optimizer: {weight_decay: 0.3}", "optimizer.weight_decay") == (0.3, 0.0, 0.01, 0.1)
    assert choices("batch: 4096 tokens", "batch") == ("2048 tokens", "4096 tokens", "8192 tokens")
    assert choices("duration: 30 min", "duration") == ("900 seconds", "1800 seconds", "3600 seconds")
    assert choices("duration: 1 step", "duration") == ("1 step", "2 steps")


def test_heads_and_language_models_have_dimensions_of_their_own() -> None:
    many = {name: replace(facts, num_train=200_000) for name, facts in FACTS.items()}
    found = {name: set(named(space(facts, name, "full"))) for name, facts in many.items()}
    assert {"optimizer.head", "objective.label_smoothing"} <= found["classify"] & found["tag"]
    assert "objective.temperature" in found["distill"] and "regularize.neftune" in found["sft"]
    assert not {"optimizer.head", "regularize.neftune"} & found["pretrain"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_every_optimizer_has_what_is_varied_of_it(optimizer: str) -> None:
    found = space(replace(TICKETS, num_train=200_000), "classify", "full", f"optimizer: {{kind: {optimizer}}}")
    stage = resolved(TICKETS, "classify", "full", f"optimizer: {{kind: {optimizer}}}")
    for dimension in found:
        put(stage, dimension.path, dimension.choices[0] if dimension.choices else dimension.low)
