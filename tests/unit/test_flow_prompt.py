"""One line of YAML makes instruction data of labelled texts; what is measured is asked in one wording."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tunesmith.errors import SpecError
from tunesmith.flow.data.check import check
from tunesmith.flow.data.prepare import Job, collect_job, encode_job
from tunesmith.flow.narrator import Narrator, silent
from tunesmith.flow.request import make_request
from tunesmith.prompts.template import wordings
from tunesmith.records import Record
from tunesmith.testing.tiny import tiny_model

SENTIMENTS = ("positive", "negative", "mixed")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


def reviews(folder: Path, base: Path, line: str, more: str = "") -> Path:
    rows = [{"text": f"the player number {n} is what it is", "label": SENTIMENTS[n % 3]} for n in range(120)]
    (folder / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = folder / "reviews.yaml"
    spec.write_text(f"name: reviews\ndata: {{sources: [reviews.jsonl]}}\nbase: {{model: {base}}}\n{line}\n{more}")
    return spec


def prepared(spec: Path) -> Job:
    job, _ = collect_job(make_request(spec, [], spec.parent), Narrator(silent))
    return job


def ways(job: Job, records: list[Record], *, learned: bool) -> Counter[str]:
    rendered = job.render(job.spec.train[0], records, learned=learned)
    texts = [record.text or "" for record in records]
    return Counter(one.prompt[-1].content.replace(text, "...") for one, text in zip(rendered, texts, strict=True))


def test_reviews_become_instruction_data_in_one_line(tmp_path: Path, base: Path) -> None:
    job = prepared(reviews(tmp_path, base, "prompt: {template: sentiment, wordings: all}"))
    assert job.objective(job.spec.train[0]).kind == "sft"
    assert len(ways(job, job.splits["train"], learned=True)) == len(wordings("sentiment")) == 6
    first = "...\n\nWhat is the sentiment of this: mixed, negative, positive?"
    assert ways(job, job.splits["test"], learned=False) == {first: len(job.splits["test"])}


def test_without_it_a_head_learns_the_labels(tmp_path: Path, base: Path) -> None:
    job = prepared(reviews(tmp_path, base, "prompt: {template: sentiment}"))
    assert job.objective(job.spec.train[0]).kind == "classify"


def test_what_is_trained_is_asked_in_the_wordings_the_spec_wants(tmp_path: Path, base: Path) -> None:
    spec = reviews(tmp_path, base, "prompt: {template: sentiment, wordings: 2, seed: 3}")
    request = make_request(spec, [], tmp_path)
    job, collected = collect_job(request, Narrator(silent))
    _, examples = encode_job(job, collected, Narrator(silent))
    seen = " ".join(job.tokenizer.decode(example.ids) for example in examples)
    assert "What is the sentiment of this" in seen
    assert "How does the writer feel about it" in seen
    assert len(ways(job, job.splits["train"], learned=True)) == 2
    other = prepared(reviews(tmp_path, base, "prompt: {template: sentiment, wordings: 2, seed: 4}"))
    assert [a.prompt for a in job.render(job.spec.train[0], job.splits["train"], learned=True)] != [
        b.prompt for b in other.render(other.spec.train[0], other.splits["train"], learned=True)
    ]


def test_examples_of_the_training_rows_stand_before_each_question(tmp_path: Path, base: Path) -> None:
    job = prepared(reviews(tmp_path, base, "prompt: {template: sentiment, examples: 3}", "train: {objective: sft}\n"))
    trained = {record.text: record.label for record in job.splits["train"]}
    for record in job.render(job.spec.train[0], job.splits["test"]):
        asked, answered = record.prompt[:-1:2], record.prompt[1:-1:2]
        assert len(asked) == len(answered) == 3
        assert sorted(turn.content for turn in answered) == sorted(SENTIMENTS)
        for question, answer in zip(asked, answered, strict=True):
            assert trained[question.content.partition("\n")[0]] == answer.content
        assert not any(turn.trained for turn in record.prompt)


def test_wordings_that_nothing_asks_are_refused(tmp_path: Path, base: Path) -> None:
    spec = reviews(tmp_path, base, "prompt: {template: sentiment, wordings: all}", "train: {objective: classify}\n")
    with pytest.raises(SpecError, match="classify asks nothing"):
        check(spec, workspace=tmp_path)
