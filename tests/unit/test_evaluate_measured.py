"""What predictions carry beside answers: samples drawn, tokens counted, times and memory measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.golden.test_metrics_references import metric

from tunesmith.data.encode.tokenize import Codec
from tunesmith.errors import SpecError
from tunesmith.evaluate.predict import clock, predict, provides
from tunesmith.evaluate.predict.clock import Peak
from tunesmith.evaluate.verdict.targets import check_metrics
from tunesmith.metrics import Draws
from tunesmith.metrics._measured import ANSWER_TOKENS, FIRST_TOKEN, PEAK_MEMORY, PROMPT_TOKENS
from tunesmith.models.load import Model, open_model
from tunesmith.part import METRICS
from tunesmith.records import Message, Record
from tunesmith.spec.quantity import Bound
from tunesmith.testing.tiny import tiny_model

torch.set_num_threads(1)

LABELS = ("billing", "delivery")


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tiny_model(tmp_path_factory.mktemp("llama"))
    return open_model(str(folder), workspace=folder)


def codec(model: Model) -> Codec:
    return Codec(model.tokenizer, need="chat", family=model.family, max_length=64, too_long="truncate")


def asked(number: int, question: str) -> Record:
    turns = (Message("user", question), Message("assistant", "billing", trained=True))
    return Record(f"r{number}", f"rows.jsonl:{number}", messages=turns, labels=("billing",))


ROWS = [asked(1, "Where is my card?"), asked(2, "Hm."), asked(3, "The invoice shows the wrong amount.")]


def test_answers_are_drawn_by_seed_and_id(lm: Model) -> None:
    def drawn(rows: list[Record], seed: int, **more: object) -> dict[str, tuple[str, ...]]:
        said = predict(
            lm,
            codec(lm),
            rows,
            manner="generate",
            max_new_tokens=6,
            nll=False,
            draws=Draws(3, 1.5, 0.9),
            seed=seed,
            **more,
        )
        return {row.record.id: row.samples for row in said}

    seen: list[tuple[int, int]] = []
    first = drawn(ROWS, 0, after=lambda *at: seen.append(at))
    assert all(len(samples) == 3 for samples in first.values()) and len(set(first["r1"])) > 1
    assert seen[-1] == (3 + 9, 3 + 9)
    assert drawn(ROWS[::-1], 0, batch=2) == first and drawn(ROWS[:1], 0)["r1"] == first["r1"]
    assert drawn(ROWS, 1) != first
    twin = replace(ROWS[0], id="another")
    assert drawn([twin], 0)["another"] != first["r1"]
    greedy = predict(lm, codec(lm), ROWS, manner="generate", max_new_tokens=6, nll=False)
    assert all(row.samples == () for row in greedy)


def test_tokens_times_and_memory_are_measured(lm: Model) -> None:
    coder = codec(lm)
    rows = predict(lm, coder, ROWS, manner="generate", max_new_tokens=8, nll=False, alone=2)
    for row in rows:
        assert row.measured[PROMPT_TOKENS] == len(coder.prompt_ids(row.record, room=8))
        assert 0 < row.measured[ANSWER_TOKENS] <= 8
        assert 10 < row.measured[PEAK_MEMORY] < 1e6
    timed = [row for row in rows if row.seconds > 0]
    assert [row.record.id for row in timed] == ["r1", "r3"]
    assert all(0 < row.measured[FIRST_TOKEN] < row.seconds for row in timed)
    assert FIRST_TOKEN not in rows[1].measured, "others were answered beside it"
    untimed = predict(lm, coder, ROWS, manner="generate", max_new_tokens=8, nll=False)
    assert not any(row.measured.keys() & {FIRST_TOKEN, PEAK_MEMORY} for row in untimed)
    chosen = predict(lm, coder, ROWS, manner="choose", labels=LABELS)
    assert all(row.measured[ANSWER_TOKENS] > 0 and row.measured[PROMPT_TOKENS] > 0 for row in chosen)
    assert metric("tokens_per_second").score(rows).num_rows == 2


def test_memory_is_unknown_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock, "_RESET", tmp_path / "no" / "file")
    assert Peak(torch.device("cpu")).megabytes() is None


def test_a_peak_is_seen_after_it_is_over() -> None:
    peak = Peak(torch.device("cpu"))
    before = peak.megabytes()
    assert before is not None
    held = bytearray(150_000_000)
    held[::4096] = b"x" * len(held[::4096])
    del held
    after = peak.megabytes()
    assert after is not None and after - before > 100


def test_needs_of_each_manner() -> None:
    assert {"scores", "label"} <= provides("choose") & provides("classify")
    assert "text" in provides("generate") and "scores" not in provides("generate", "classify")
    check_metrics([metric("ece"), metric("brier")], manner="classify", task="classify")
    with pytest.raises(SpecError, match="ece needs probabilities of labels, which"):
        check_metrics([metric("ece")], manner="generate", task="classify")
    with pytest.raises(SpecError, match="pass_at_k needs written answers"):
        check_metrics([metric("pass_at_k")], manner="choose", task="classify")
    for name in METRICS.names():
        needs = METRICS.load(name).needs  # type: ignore[attr-defined]
        assert needs & {"measured"} or any(
            needs <= provides(how, "classify") for how in ("choose", "generate", "tag", "prose")
        ), name


def test_costs_are_bounded_in_dollars() -> None:
    assert str(Bound.parse("2.5 USD")) == "2.5 USD"
