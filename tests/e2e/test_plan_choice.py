"""Plans held against runs: three bases ranked as full training ranks them, and advice that names its numbers."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.desk import COLOURS, make_desk, tunesmith
from tunesmith.flow.data.prepare import Job, collect_job, encode_job
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.plan.bases import compare_bases
from tunesmith.flow.plan.tries import ranked, try_base, undecided
from tunesmith.flow.request import Request, make_request
from tunesmith.flow.run import run
from tunesmith.testing.tiny import tiny_model

PROSE = """\
name: prose
goal: {task: generate}
data: {sources: [prose.jsonl], split: {train: 0.7, validation: 0.2, test: 0.1}, max_length: 64 tokens}
base: {model: ./fresh}
train: {objective: pretrain, duration: 90 steps, batch: 256 tokens, optimizer: {kind: adamw, lr: 3e-3}}
"""


@pytest.fixture(scope="module")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences; a tiny base that has learned such, one of fresh weights, one that is too small to learn much."""
    folder, draw = tmp_path_factory.mktemp("prose"), random.Random(0)
    said = [
        f"the {draw.choice(list(COLOURS))} item {draw.choice(['fell', 'rose', 'stood'])} on day {number % 9}."
        for number in range(500)
    ]
    (folder / "prose.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in dict.fromkeys(said)))
    (folder / "prose.yaml").write_text(PROSE)
    tiny_model(folder / "fresh")
    tiny_model(folder / "narrow", hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    first = run(folder / "prose.yaml", ["train.duration=40 steps"], folder, until="train")
    (folder / "learned").symlink_to(first.run.path / "model")
    return folder


def trained(folder: Path, base: str) -> float:
    """The validation loss after a full training."""
    heard: list[dict[str, Any]] = []
    run(folder / "prose.yaml", [f"base.model={base}", "train.watch=[]"], folder, until="train", listen=heard.append)
    return [event["figures"]["loss"] for event in heard if event["kind"] == "validation"][-1]


def job_of(folder: Path, base: str) -> tuple[Request, Job]:
    narrator = Narrator()
    request = make_request(folder / "prose.yaml", [f"base.model={base}"], folder)
    job, collected = collect_job(request, narrator)
    return request, encode_job(job, collected, narrator)[0]


def test_tries_rank_three_bases_as_full_training_does(prose: Path) -> None:
    names = ["./narrow", "./fresh", "./learned"]
    tried = {name: try_base(*job_of(prose, name), 32, Narrator()) for name in names}
    full = {name: trained(prose, name) for name in names}
    assert ranked(tried) == sorted(full, key=lambda name: full[name]) == ["./learned", "./fresh", "./narrow"]
    best = tried["./learned"]
    assert (best.steps, best.total, best.figure) == (32, 90, "nats a character") and len(best.course) == 8
    assert best.projection.low < best.projection.value < best.projection.high
    assert best.projection.value < best.course[-1][1], "it would learn more"
    assert all(("./narrow" in pair) is False for pair in undecided(tried)), "the small one is worse beyond doubt"


def test_candidates_stand_side_by_side(prose: Path) -> None:
    found = compare_bases(prose / "prose.yaml", ["./missing", "./learned"], workspace=prose)
    best, missing = found.candidates
    assert "missing" in missing.refused and missing.fit is None, "a row with its reason, and no end of all"
    assert found.recommended == "./learned" and "others cannot be used" in found.because
    assert best.fit is not None and best.planned is not None and best.tried is None
    assert best.fit.objective == "pretrain" and best.fit.tokens_a_word > 1 and best.fit.language == "en"
    assert [cost.method for cost in best.costs] == ["full", "lora", "qlora"]
    prices = [rent.on_demand for rent in best.costs[0].rents]
    assert prices == sorted(prices) and len(prices) > 10
    assert any("2025-07-01" in note for note in found.notes), "prices show their date"
    heard: list[dict[str, Any]] = []
    run(prose / "prose.yaml", ["base.model=./learned"], prose, until="train", listen=heard.append)
    assert best.planned.validations == sum(event["kind"] == "validation" for event in heard)
    stage = best.planned
    assert "longest rows" in stage.memory_basis and f"{stage.validations} validations" in stage.seconds_basis
    assert stage.processor_seconds is not None and stage.processor_seconds > 0
    json.dumps(found.to_json())


class Sealed:
    """Rows that nobody may look at."""

    def __iter__(self) -> Any:
        raise AssertionError("test rows were opened")

    __len__ = __getitem__ = __iter__


def test_a_try_never_opens_the_test_rows(prose: Path) -> None:
    request, job = job_of(prose, "./fresh")
    sealed = replace(job, splits={**job.splits, "test": Sealed()})  # type: ignore[dict-item]
    tried = try_base(request, sealed, 8, Narrator())
    assert tried.rows <= len(job.splits["train"]) and tried.validated <= 1000


def test_advice_names_its_numbers(tmp_path: Path) -> None:
    make_desk(tmp_path, duration="4 epochs")
    said = tunesmith("plan", "colours.yaml", "--advise", "--try", "24", "scale.budget=1 h", "--json", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    advice = {each["about"]: each for each in found["advice"]}
    assert {"approach", "retrieval", "adapter", "data size", "label quality", "knowledge", "where"} <= set(advice)
    assert all(each["because"] for each in advice.values()), "every piece of advice has a number or says why not"
    assert advice["budget"]["advice"] == "within the budget: full, lora, qlora" and "1 h" in advice["budget"]["because"]
    arms = {arm["name"]: arm for arm in found["arms"]}
    assert {"prompt", "few_shot", "retrieval", "linear", "majority", "tuned"} <= set(arms)
    # The base writes as if at random and the word count is perfect: what was tried must be held against it.
    assert "minus that of" in advice["approach"]["because"] and advice["approach"]["advice"] != "fine-tune"
    assert not advice["knowledge"]["advice"] and "cannot be told" in advice["knowledge"]["because"]
    assert any("no test row" in note for note in found["notes"])


@pytest.mark.parametrize("wrong", [("--try", "20"), ("--bases", "bundled", "--advise"), ("--bases", "a,a")])
def test_wrong_options_are_refused(prose: Path, wrong: tuple[str, ...]) -> None:
    said = tunesmith("plan", "prose.yaml", *wrong, cwd=prose)
    assert said.returncode == 2 and "fix:" in said.stderr
