"""Rows become tokens once on their way into a run, and are what they would become from the run's own files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.desk import make_desk
from tunesmith.data.encode.tokenize import Codec, Encoded
from tunesmith.flow.data.ready import make_ready
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import make_request
from tunesmith.flow.run import load_job, run
from tunesmith.flow.training import encode_splits

CHANGES = ("train.objective=sft", "data.max_length=60 tokens", "data.too_long=drop", "data.max_dropped=100%")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call has made tokens of."""
    counts: list[int] = []
    plain = Codec.encode_many

    def counted(self: Codec, records: Any, *others: Any) -> Encoded:
        counts.append(len(records))
        return plain(self, records, *others)

    monkeypatch.setattr(Codec, "encode_many", counted)
    return counts


def rows_of_many_lengths(folder: Path) -> Path:
    spec = make_desk(folder, duration="3 steps")
    with (folder / "rows.jsonl").open("a") as rows:
        rows.writelines(
            f'{{"text": "long {n} {"and longer " * (n % 9)}", "label": "warm", "channel": "chat"}}\n' for n in range(60)
        )
    return spec


def equal(one: Encoded, other: Encoded) -> bool:
    return one.examples == other.examples and np.array_equal(one.places, other.places)


def test_rows_become_tokens_once(tmp_path: Path, encoded: list[int]) -> None:
    spec = rows_of_many_lengths(tmp_path)
    done = run(spec, CHANGES, tmp_path, until="train").run
    assert len(encoded) == 3, "train, validation and test"
    request = make_request(spec, CHANGES, tmp_path)
    job, collected, _ = make_ready(request, Narrator())
    assert collected.ledger.dropped[("tokenize", "longer than max_length")].count > 10
    known, written = encode_splits(job, 0, Narrator()), encode_splits(load_job(done, request), 0, Narrator())
    assert len(encoded) == 3 + 3 + 2, "what the job knows is taken, what a run has in its files is not known yet"
    assert all(map(equal, known, written))


def test_other_rows_or_another_spec_are_not_taken_for_them(tmp_path: Path, encoded: list[int]) -> None:
    job, _, _ = make_ready(make_request(rows_of_many_lengths(tmp_path), CHANGES, tmp_path), Narrator())
    fewer = replace(job, splits={**job.splits, "validation": job.splits["validation"][:5]})
    assert len(encode_splits(fewer, 0, Narrator())[1].examples) == 5
    asked = job.spec.model_copy(update={"prompt": job.spec.prompt.model_copy(update={"system": "Be brief."})})
    others = encode_splits(replace(job, resolved=replace(job.resolved, spec=asked)), 0, Narrator())
    assert not equal(others[0], encode_splits(job, 0, Narrator())[0])
    assert len(encoded) == 3 + 2 + 2
