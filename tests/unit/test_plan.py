"""What a plan counts, fits, knows and carries on, without training anything."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tunesmith.data.encode.tokenize import Example
from tunesmith.flow.plan.bases import Candidate, decide, written
from tunesmith.flow.plan.change import change_of
from tunesmith.flow.plan.costs import CONTEXT_BYTES, START_SECONDS, rents
from tunesmith.flow.plan.course import Projection, project
from tunesmith.flow.plan.labels import wrong_labels
from tunesmith.flow.plan.licences import licence
from tunesmith.flow.plan.trial import Trial, line
from tunesmith.flow.plan.tries import Tried, ranked, undecided
from tunesmith.flow.plan.work import Work, batches_of, work_of
from tunesmith.models.facts import base_facts
from tunesmith.models.memory import Estimate, estimate
from tunesmith.part import ADAPTERS, OBJECTIVES
from tunesmith.records import Record
from tunesmith.scale.instances import Gpu, Instance
from tunesmith.spec.sections import Train
from tunesmith.train.order.epochs import Order

WORK = Work(steps=100, steps_an_epoch=50, tokens=8000, flops=4e9, validations=10)


def stage(**more: object) -> Train:
    given = {"objective": OBJECTIVES.make("sft"), "adapter": ADAPTERS.make("full"), "precision": "fp32"}
    return Train.model_validate({**given, "batch": "4 rows", "duration": "2 epochs", **more})


def rows(lengths: list[int]) -> list[Example]:
    return [
        Example(str(at), np.ones(n, np.int32), np.arange(n) >= n // 2, np.zeros(n, np.uint8))
        for at, n in enumerate(lengths)
    ]


@pytest.fixture(scope="module")
def found(tiny_bases: Path) -> Estimate:
    return estimate(base_facts("llama", workspace=tiny_bases), stage(), 32)


# Work and time ------------------------------------------------------------------------------------


def test_work_sums_the_rows_that_are_there(found: Estimate) -> None:
    examples = rows([4, 8, 12, 16, 20, 24, 28, 32, 36, 40])
    chosen = stage()
    work = work_of(chosen, examples, batches_of(chosen, examples, Order.plain(10)), found, cached=False)
    assert (work.steps, work.steps_an_epoch, work.tokens) == (6, 3, 2 * 220)
    pairs = 2 * sum(row.num_tokens**2 for row in examples)
    assert work.flops == pytest.approx(found.flops(440, pairs, 220))
    assert found.flops(10, 200, 0) > found.flops(10, 100, 0), "attention grows with the square of a row"


@pytest.mark.parametrize(
    ("every", "times"), [("1 epochs", 2), ("1 steps", 6), ("4 steps", 2), ("3 steps", 2), ("100 tokens", 4)]
)
def test_validations_are_counted_as_the_loop_does_them(found: Estimate, every: str, times: int) -> None:
    examples = rows([22] * 10)
    chosen = stage(validate_every=every)
    work = work_of(chosen, examples, batches_of(chosen, examples, Order.plain(10)), found, cached=False)
    assert work.validations == times


def test_what_is_kept_of_frozen_layers_is_computed_once(found: Estimate) -> None:
    from dataclasses import replace

    examples, chosen = rows([22] * 10), stage()
    frozen = replace(found, flops_spared=1000.0)
    plain, kept = (
        work_of(chosen, examples, batches_of(chosen, examples, Order.plain(10)), frozen, cached=cached)
        for cached in (False, True)
    )
    assert plain.flops - kept.flops == 1000 * 220


def test_a_line_goes_through_what_steps_took() -> None:
    work = [1e6, 2e6, 5e6, 9e6]
    step, flop = line(work, [0.02 + 1e-8 * each for each in work])
    assert (step, flop) == pytest.approx((0.02, 1e-8))
    assert min(line(work, [0.4, 0.3, 0.2, 0.1])) >= 0, "no step costs less than nothing"
    assert line([1e6, 2e6], [0.1, 0.2]) == pytest.approx((0.0, 1e-7)), "two points make no line"


def test_time_is_that_of_steps_validations_and_checkpoints() -> None:
    trial = Trial(6, opening=2.0, step=0.1, flop=1e-9, validation=3.0, checkpoint=0.5, stretch=1.0, peak_bytes=None)
    assert trial.seconds(WORK) == pytest.approx(2 + 100 * 0.1 + 4 + 10 * 3.5)
    busy = Trial(6, opening=2.0, step=0.1, flop=1e-9, validation=3.0, checkpoint=0.5, stretch=2.0, peak_bytes=None)
    assert busy.seconds(WORK) == pytest.approx(2 * trial.seconds(WORK)), "a busy machine takes longer"


# Memory -------------------------------------------------------------------------------------------


def test_memory_holds_all_its_parts(tiny_bases: Path, found: Estimate) -> None:
    assert found.optimizer_bytes == 8 * found.num_trained
    parts = [found.weight_bytes, found.gradient_bytes, found.optimizer_bytes, found.activation_bytes]
    assert found.total_bytes == sum(parts) + found.process_bytes
    facts = base_facts("llama", workspace=tiny_bases)
    half, whole = (estimate(facts, stage(), 32, trained_share=share).activation_bytes for share in (0.5, 1.0))
    assert whole - half == pytest.approx(32 * 0.5 * facts.vocabulary * 4 * 4), "logits of what the loss counts"
    assert estimate(facts, stage(), 32, rows_at_once=8).activation_bytes > found.activation_bytes
    lora = estimate(facts, stage(adapter=ADAPTERS.make("lora")), 32)
    assert lora.process_bytes > found.process_bytes, "PEFT takes room of its own"


# Money --------------------------------------------------------------------------------------------


def machine(name: str, gpu: Gpu, price: float, count: int = 1) -> Instance:
    return Instance(name, "aws", gpu, count, 64, price, None, date(2026, 1, 1), "made up")


def test_machines_that_hold_a_step_stand_by_price(found: Estimate) -> None:
    small, large = Gpu("small", 8, 50), Gpu("large", 80, 300)
    work = Work(steps=100, steps_an_epoch=50, tokens=8000, flops=1e18, validations=10)
    table = [machine("a", large, 4.0), machine("b", small, 1.0), machine("c", large, 30.0, 8)]
    told = rents(work, found, int(20e9), table)
    assert [rent.instance for rent in told] == ["a", "c"], "8 GB do not hold 20"
    assert told[0].seconds == pytest.approx(START_SECONDS + 1e18 / (300e12 * 0.35))
    assert told[0].on_demand == pytest.approx(told[0].seconds / 3600 * 4.0)
    assert told[1].seconds < told[0].seconds and told[0].spot is None and told[0].as_of == "2026-01-01"
    assert len(rents(work, found, CONTEXT_BYTES, table)) == 3


# Licences -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "commercial"),
    [
        ("apache-2.0", "yes"), ("MIT", "yes"), ("cc-by-4.0", "yes"), ("cc-by-nc-4.0", "no"), ("CC-BY-NC-SA-4.0", "no"),
        ("llama3.1", "conditions"), ("gemma", "conditions"), ("openrail", "conditions"), ("cc-by-sa-4.0", "conditions"),
        ("mystery-1.0", "unknown"), ("other", "unknown"), (None, "unknown"),
    ],
)  # fmt: skip
def test_licences_say_what_is_known_of_them(name: str | None, commercial: str) -> None:
    found = licence(name)
    assert found.commercial == commercial and found.because
    assert "700M" in licence("llama3.3").because


# Courses ------------------------------------------------------------------------------------------


def test_a_power_law_is_carried_on() -> None:
    when = [25, 50, 75, 100, 125, 150, 175, 200]
    told = project(when, [1.2 + 3.0 * t**-0.5 for t in when], 1000, 0.001, better="lower")
    assert told.value == pytest.approx(1.2 + 3.0 * 1000**-0.5, abs=0.01)
    assert told.low < told.value < told.high and "carried from 200 to 1,000" in told.basis
    noisy = [1.2 + 3.0 * t**-0.5 + (-1) ** at * 0.1 for at, t in enumerate(when)]
    wide = project(when, noisy, 1000, 0.001, better="lower")
    assert wide.high - wide.low > 2 * (told.high - told.low)
    share = project(when, [0.9 - 2.0 * t**-0.7 for t in when], 1000, 0.001, better="higher")
    assert share.value == pytest.approx(0.9 - 2.0 * 1000**-0.7, abs=0.01)


def test_what_was_trained_to_its_end_is_not_carried() -> None:
    told = project([10, 20], [0.5, 0.6], 20, 0.01, better="higher")
    assert (told.value, told.low) == (0.6, pytest.approx(0.6 - 1.959964 * 0.01))
    few = project([10, 20], [0.5, 0.6], 40, 0.01, better="higher")
    assert math.isinf(few.high), "two points are no course"


# Facts that advice rests on -----------------------------------------------------------------------


def dated(number: int, answer: str, year: int) -> Record:
    text = f"what is the fee of plan {number % 12} word{number % 12}"
    when = {"date": f"{year}-01-{number % 28 + 1:02}"}
    return Record(f"r{number}", "rows", text=text, labels=(answer,), slices=when)


def test_answers_that_change_with_time_are_seen() -> None:
    moved = [dated(at, "new" if at >= 120 else "old", 2020 + at // 60) for at in range(240)]
    found = change_of(moved, "date")
    assert found.differing is not None and found.low is not None and found.low > 0.5, "like questions, other answers"
    same = change_of([dated(at, f"plan {at % 12}", 2020 + at // 60) for at in range(240)], "date")
    assert same.differing == 0 and same.low is not None and same.low <= 0
    assert change_of(moved, "").said and change_of(moved[:20], "date").differing is None


def test_planted_wrong_labels_are_estimated() -> None:
    words = {"a": "apple pear plum", "b": "stone rock sand"}
    clean = [Record(f"r{at}", "rows", text=f"{words['ab'[at % 2]]} {at}", labels=("ab"[at % 2],)) for at in range(300)]
    broken = [
        Record(record.id, "rows", text=record.text, labels=("b" if record.labels[0] == "a" else "a",))
        if at % 5 == 0
        else record
        for at, record in enumerate(clean)
    ]
    low, high = wrong_labels(clean), wrong_labels(broken)
    assert low is not None and high is not None
    assert low[0] < 0.02 and high[0] == pytest.approx(0.2, abs=0.05) and high[2] == 300
    assert wrong_labels([Record("r", "rows", text="no label")]) is None


def test_a_candidate_is_written_as_overrides() -> None:
    assert written("bundled@random") == ["base.model=bundled", "base.initialize=random"]
    assert written("./mine") == ["base.model=./mine"]
    assert written("owner/name@abc123") == ["base.model=owner/name", "base.revision=abc123"]


def tried(value: float, reach: float) -> Tried:
    told = Projection(value, value - reach, value + reach, "made up")
    return Tried(20, 100, 80, "accuracy", "higher", 50, ((10, 0.5), (20, value)), told)


def test_overlapping_intervals_decide_nothing() -> None:
    apart = {"a": tried(0.7, 0.02), "b": tried(0.9, 0.02), "c": tried(0.69, 0.02)}
    assert ranked(apart) == ["b", "a", "c"] and undecided(apart) == [("a", "c")]
    able = [Candidate(name, "") for name in ranked(apart)]
    name, because = decide(able, apart)
    assert name == "b" and "0.900" in because and "0.700" in because
    name, because = decide(able, {**apart, "b": tried(0.72, 0.02)})
    assert name is None and "overlap" in because
    name, because = decide(able, {})
    assert name is None and "--try" in because
    assert decide([Candidate("a", "broken")], {})[0] is None
