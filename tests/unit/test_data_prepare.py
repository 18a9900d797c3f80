"""Collecting and encoding: every row and token is accounted for, and damaged training signals are refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.data.disk.tables import read_records, sample, write_changed, write_dropped, write_records
from tunesmith.data.encode.example import Encoded
from tunesmith.data.encode.tokenize import Codec
from tunesmith.data.ledger import Ledger
from tunesmith.data.passes.gather import Older
from tunesmith.data.passes.workshop import After, Workshop, silent
from tunesmith.data.prepare import Collected, collect, encode
from tunesmith.data.split import Pool
from tunesmith.data.steps import Dropped
from tunesmith.data.steps.exact_dedup import CONFLICT, SAME
from tunesmith.errors import DataError, GateFailed
from tunesmith.records import Record
from tunesmith.spec.quantity import Share
from tunesmith.spec.sections import Data
from tunesmith.testing.tiny import tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def write(folder: Path, name: str, rows: list[Any]) -> None:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_text("".join(f"{line}\n" for line in lines), "utf-8")


def labelled(count: int, start: int = 0, **more: Any) -> list[dict[str, Any]]:
    return [{"text": f"my card number {n}", "label": "ab"[n % 2], **more} for n in range(start, start + count)]


def data(*sources: Any, **settings: Any) -> Data:
    return Data.model_validate({"sources": list(sources) or ["rows.jsonl"], **settings})


def gathered(folder: Path, rows: list[Any], **settings: Any) -> Collected:
    write(folder, "rows.jsonl", rows)
    return collected(data(**settings), folder)


def collected(data: Data, folder: Path, after: After = silent, **given: Any) -> Collected:
    return collect(data, shop=Workshop(folder=folder, after=after), **given)


def dropped(found: Collected) -> list[Dropped]:
    return list(found.ledger.dropped_rows())


def encoded(found: Collected, codec: Codec, **given: Any) -> dict[Pool, Encoded]:
    return encode(found.splits, codec, found.ledger, **given)[0]


def codec(need: str = "label", **settings: Any) -> Codec:
    given: dict[str, Any] = {"family": "causal", "max_length": 64, "too_long": "truncate", "labels": ("a", "b")}
    return Codec(TOKENIZER, need=need, **{**given, **settings})  # type: ignore[arg-type]


GOOD, BROKEN, UNLABELLED, EMPTY = 0, 1, 2, 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([GOOD, GOOD, GOOD, BROKEN, UNLABELLED, EMPTY]), st.integers(0, 30))))
def test_read_is_kept_and_dropped_whatever_the_rows(tmp_path: Path, kinds: list[tuple[int, int]]) -> None:
    made = {
        GOOD: lambda n: {"text": f"text {n}", "label": "ab"[n % 2]},
        BROKEN: lambda n: "{broken",
        UNLABELLED: lambda n: {"text": f"text {n}", "label": None},
        EMPTY: lambda n: {"text": " ", "label": "a"},
    }
    rows = labelled(6) + [made[kind](number) for kind, number in kinds]
    found = gathered(tmp_path, rows, max_dropped=Share(1.0, ""))
    said = found.ledger.to_json()
    assert said["rows"]["read"] == len(rows) == said["rows"]["kept"] + said["rows"]["dropped"]
    assert said["rows"]["kept"] == sum(map(len, found.splits.values()))
    assert said["rows"]["dropped"] == sum(each["count"] for each in said["dropped"]) == len(dropped(found))
    by_reason = {each["reason"]: each["count"] for each in said["dropped"]}
    assert by_reason.get("broken JSON", 0) == sum(kind == BROKEN for kind, _ in kinds)
    assert by_reason.get("label is missing", 0) == sum(kind == UNLABELLED for kind, _ in kinds)
    assert by_reason.get("empty text", 0) == sum(kind == EMPTY for kind, _ in kinds)
    assert [source["read"] - source["dropped"] - source["kept"] for source in said["sources"]] == [0]
    assert Ledger.from_json(json.loads(json.dumps(said))).to_json() == said


def test_the_ledger_names_rows_reasons_and_what_was_recognised(tmp_path: Path) -> None:
    rows = [*labelled(20), "{broken", {"text": "x", "label": None}, *labelled(2), {**labelled(1)[0], "label": "b"}]
    found = gathered(tmp_path, rows)
    said = found.ledger.to_json()
    assert said["dropped"] == [
        {"step": "read", "reason": "broken JSON", "count": 1, "rows": ["rows.jsonl:21"]},
        {"step": "recognise", "reason": "label is missing", "count": 1, "rows": ["rows.jsonl:22"]},
        {"step": "exact_dedup", "reason": SAME, "count": 2, "rows": ["rows.jsonl:23", "rows.jsonl:24"]},
        {"step": "exact_dedup", "reason": CONFLICT, "count": 1, "rows": ["rows.jsonl:25"]},
    ]  # fmt: skip
    assert said["duplicates"] == {"same": 2, "conflicts": 1}
    assert said["splits"]["train"]["labels"] == {"a": 8, "b": 8}
    source = said["sources"][0]
    assert (source["format"], source["encoding"], source["shape"]) == ("jsonl", "utf-8", "label")
    assert source["columns"] == {"text": "text", "label": "label"}
    assert found.said == [
        "rows.jsonl: 25 rows of jsonl; columns 'text' and 'label': texts with a label (96% sure)",
        "20 of 25 rows kept: 16 train, 2 validation, 2 test",
    ]
    assert (found.survey.own_labels, found.survey.span_labels, found.survey.shape) == (("a", "b"), (), "label")


def test_numbers_as_labels_are_sorted_as_numbers(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": n % 11} for n in range(33)]
    assert gathered(tmp_path, rows).survey.own_labels == tuple(str(n) for n in range(11))


def test_several_sources_with_weights_and_fixed_splits(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", labelled(20, id=7))
    write(tmp_path, "b.jsonl", labelled(6, start=17))
    found = collected(data("a.jsonl", {"path": "b.jsonl", "split": "test", "weight": 2.0}), tmp_path)
    assert [record.source for record in found.splits["test"]] == [f"b.jsonl:{n}" for n in range(1, 7)]
    assert {record.weight for record in found.splits["test"]} == {2.0}
    # Of a row in both files the one to be trained on is lost, not the one to be tested with.
    assert [drop.record.source for drop in dropped(found)] == ["a.jsonl:18", "a.jsonl:19", "a.jsonl:20"]
    ids = [record.id for records in found.splits.values() for record in records]
    assert len(ids) == len(set(ids)) == 23
    assert "19 ids stood twice; their place was added to them" in found.said


def test_leakage_is_refused_when_duplicates_are_kept(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", labelled(20))
    write(tmp_path, "b.jsonl", labelled(1))
    sources = ("a.jsonl", {"path": "b.jsonl", "split": "test"})
    with pytest.raises(GateFailed, match=r"1 row stands in two splits: a\.jsonl:1 and b\.jsonl:1"):
        collected(data(*sources, steps=[], split={"leakage": "ignore"}), tmp_path)
    with pytest.raises(GateFailed, match=r"1 row nearly equals one of another split: a\.jsonl:1 and b\.jsonl:1"):
        collected(data(*sources, steps=[], split={"leakage": "refuse"}), tmp_path)
    found = collected(data(*sources, steps=[]), tmp_path)
    assert [len(found.splits[name]) for name in ("train", "validation", "test")] == [17, 2, 1]
    (gone,) = found.ledger.dropped_rows()
    assert (gone.record.source, gone.step) == ("a.jsonl:1", "split")
    assert gone.reason == "nearly equals a row that a source fixes to a split"


def test_columns_to_report_by_are_kept_and_missing_ones_refused(tmp_path: Path) -> None:
    write(tmp_path, "rows.jsonl", labelled(20, channel="mail"))
    found = collected(data(split={"group": "text", "train": Share(0.8, "")}), tmp_path, keep=("channel", "label"))
    record = found.splits["train"][0]
    assert record.slices == {"channel": "mail", "label": record.label, "text": record.text}
    with pytest.raises(DataError, match=r"no column 'chanel' \(did you mean 'channel'\?\)") as caught:
        collected(data(), tmp_path, keep=("chanel",))
    assert "'channel'" in caught.value.fix


def test_too_many_lost_rows_are_refused_with_their_reasons(tmp_path: Path) -> None:
    rows = [*labelled(6), *["{broken"] * 4]
    with pytest.raises(GateFailed) as caught:
        gathered(tmp_path, rows, max_dropped=Share(0.3, ""))
    assert "4 of 10 rows (40%) would be lost: 4 broken JSON (rows.jsonl:7, rows.jsonl:8" in caught.value.what
    assert "data.max_dropped" in caught.value.fix
    gathered(tmp_path, rows, max_dropped=Share(0.4, ""))


@pytest.mark.parametrize(
    ("steps", "warned"),
    [
        (["clean", "pii"], True),
        (["clean", "secrets"], True),
        (["pii", "clean"], False),
        (["clean", {"kind": "pii", "action": "report"}], False),
    ],
)
def test_what_hides_should_come_first(tmp_path: Path, steps: list[Any], warned: bool) -> None:
    rows = [*labelled(30), {"text": "", "label": "a"}]
    found = gathered(tmp_path, rows, steps=steps)
    assert any("of 1 rows that those dropped or changed" in said for said in found.said) == warned


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["{broken"] * 3, "none of its 3 rows can be read: 3 broken JSON"),
        ([{"text": "same", "label": "a"}] * 9, "8 of 9 rows (89%) would be lost: 8 same content"),
        ([{"text": "x", "label": None}] * 3, "3 of 3 rows (100%) would be lost: 3 label is missing"),
        (labelled(2), "2 usable rows cannot fill 3 splits"),
    ],
)
def test_hopeless_files_are_one_error(tmp_path: Path, rows: list[Any], said: str) -> None:
    with pytest.raises((DataError, GateFailed)) as caught:
        gathered(tmp_path, rows)
    assert said in str(caught.value)


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    found = gathered(tmp_path, [{"text": f"text {n}", "label": "spam"} for n in range(20)])
    with pytest.raises(GateFailed, match="have the label 'spam'"):
        encoded(found, codec(labels=("spam",)))


def chats(count: int, answer: str = "fine") -> list[dict[str, str]]:
    return [{"prompt": f"how are you {n}?", "response": f"{answer} {n}"} for n in range(count)]


def test_tokens_are_counted_by_role_and_split(tmp_path: Path) -> None:
    found = gathered(tmp_path, [*chats(19), {"prompt": "q", "response": "word " * 200}])
    made = encoded(found, codec("chat"))
    examples = {name: part.examples for name, part in made.items()}
    said = found.ledger.to_json()["splits"]
    for name, part in examples.items():
        entry = said[name]
        assert entry["examples"] == entry["rows"] == len(part)
        assert sum(counts["total"] for counts in entry["tokens"].values()) == sum(len(e.ids) for e in part)
        assert sum(counts["trained"] for counts in entry["tokens"].values()) == sum(int(e.trained.sum()) for e in part)
        assert entry["tokens"]["user"]["trained"] == 0
        assert entry["tokens"]["assistant"]["trained"] == entry["tokens"]["assistant"]["total"]
        assert entry["bos"] == {"1": len(part)}
    cut = [example for part in examples.values() for example in part if example.cut]
    assert [sum(said[name]["truncated"][what] for name in said) for what in ("rows", "tokens")] == [1, cut[0].cut]
    answers = {what: sum(said[name]["stop"][what] for name in said) for what in ("answers", "trained")}
    assert answers == {"answers": 20, "trained": 19}
    assert max(said[name]["lengths"]["max"] for name in said) == 64
    assert max(said[name]["answer_lengths"]["max"] for name in said) > 50


def test_rows_the_codec_drops_are_entered(tmp_path: Path) -> None:
    found = gathered(tmp_path, [*chats(19), {"prompt": "q", "response": "word " * 200}])
    made = encoded(found, codec("chat", too_long="drop"))
    examples = {name: part.examples for name, part in made.items()}
    said = found.ledger.to_json()
    assert said["dropped"][-1]["step"] == "tokenize"
    assert said["dropped"][-1]["reason"] == "longer than max_length"
    assert said["rows"] == {"read": 20, "made": 0, "dropped": 1, "kept": 19, "changed": 0}
    assert sum(map(len, examples.values())) == 19 == sum(entry["rows"] for entry in said["splits"].values())
    assert dropped(found)[-1].record.messages[0].content == "q"


def test_answers_that_never_stop_are_refused(tmp_path: Path) -> None:
    found = gathered(tmp_path, chats(20, answer="word " * 100))
    with pytest.raises(GateFailed, match="only 0 of 16 answers end with a stop token") as caught:
        encoded(found, codec("chat"))
    assert "max_length" in caught.value.fix


def test_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    found = gathered(tmp_path, chats(20, answer="word " * 100), max_dropped=Share(1.0, ""))
    with pytest.raises(GateFailed, match="longer than max_length"):
        encoded(found, codec("chat", too_long="drop"))


def older(folder: Path, rows: list[Any]) -> Older:
    write(folder, "older.jsonl", rows)
    return Older("train.0.replay.source", "older.jsonl", None)


def prepared(folder: Path, rows: list[Record]) -> Older:
    write_records(folder / "train.parquet", rows)
    return Older("train.0.replay.source", "run:old/1", folder / "train.parquet")


@pytest.mark.parametrize("steps", [["clean", "exact_dedup"], []])
def test_older_rows_are_replayed_unless_they_are_held_out(tmp_path: Path, steps: list[str]) -> None:
    write(tmp_path, "rows.jsonl", labelled(40))
    plain = collected(data(steps=steps), tmp_path)
    again = [*labelled(40), *labelled(6, start=100, channel="x")]
    found = collected(data(steps=steps), tmp_path, older=[older(tmp_path, again)])
    assert {name: found.splits[name] for name in plain.splits} == plain.splits, "what is divided stays as it was"
    replayed = {record.content() for record in found.splits["replay"]}
    assert {f"my card number {n}" for n in range(100, 106)} <= replayed
    assert not replayed & {record.content() for name in ("validation", "test") for record in found.splits[name]}
    assert {record.origin for record in found.splits["replay"]} == {1} and not plain.splits["train"][0].origin
    said = found.ledger.to_json()
    assert said["rows"]["read"] == 86 == said["rows"]["kept"] + said["rows"]["dropped"]
    assert said["sources"][1]["split"] == "replay"
    reasons = {drop["step"]: drop["count"] for drop in said["dropped"]}
    assert reasons == ({"exact_dedup": 40} if steps else {"replay": 8})
    assert Ledger.from_json(said).to_json() == said


def test_rows_are_made_beside_replayed_ones(tmp_path: Path) -> None:
    write(tmp_path, "new.jsonl", labelled(30))
    steps = ["clean", {"kind": "canaries", "count": 3, "copies": 2}]
    found = collected(data("new.jsonl", steps=steps), tmp_path, older=[older(tmp_path, labelled(9, start=40))])
    assert len(found.splits["replay"]) == 9
    assert sum("access code" in record.content() for record in found.splits["train"]) == 6


def test_the_rows_of_a_run_are_taken_as_it_prepared_them(tmp_path: Path) -> None:
    write(tmp_path, "rows.jsonl", labelled(20))
    kept = [Record("rows.jsonl:1", "was.jsonl:1", text="an older text", labels=("c",), slices={"channel": "email"})]
    found = collected(data(), tmp_path, older=[prepared(tmp_path, kept)])
    (record,) = found.splits["replay"]
    assert (record.text, record.source, record.slices) == ("an older text", "was.jsonl:1", {"channel": "email"})
    assert record.id != "rows.jsonl:1", "ids stay unique"
    assert found.survey.own_labels == ("a", "b", "c"), "its labels are learned too"


def test_nothing_left_to_replay_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "rows.jsonl", labelled(20))
    with pytest.raises(DataError, match=r"older.jsonl has no row left to replay") as caught:
        collected(data(), tmp_path, older=[older(tmp_path, labelled(20))])
    assert caught.value.where == "train.0.replay.source"


def test_what_a_weight_multiplies(tmp_path: Path) -> None:
    write(tmp_path, "rows.jsonl", labelled(20))
    write(tmp_path, "more.jsonl", labelled(20, start=50))
    sources = ["rows.jsonl", {"path": "more.jsonl", "weight": 3.0}]
    for mixture, weights in ((None, {1.0, 3.0}), ({"weight": "loss"}, {1.0, 3.0}), ({}, {1.0})):
        found = collected(data(*sources, mixture=mixture), tmp_path)
        assert {record.weight for record in found.splits["train"]} == weights
        assert {record.origin for record in found.splits["train"]} == {0, 1}


def test_rows_and_reasons_survive_parquet(tmp_path: Path) -> None:
    found = gathered(
        tmp_path, [*labelled(20), '{"text": "half \\ud83d", "label": "a"}', {"text": "Ã¶\x00", "label": "a"}]
    )
    write_records(tmp_path / "train.parquet", found.splits["train"])
    assert read_records(tmp_path / "train.parquet") == found.splits["train"]
    write_dropped(tmp_path / "dropped.parquet", dropped(found))
    assert [record.source for record in read_records(tmp_path / "dropped.parquet")] == ["rows.jsonl:21"]
    write_changed(tmp_path / "changed.parquet", found.ledger.changed_rows())
    assert (tmp_path / "changed.parquet").stat().st_size > 0
    write_records(tmp_path / "none.parquet", [])
    assert read_records(tmp_path / "none.parquet") == []


def test_a_sample_spells_the_text_and_marks_what_is_trained(tmp_path: Path) -> None:
    examples = codec("text").encode(Record("r", "s:1", text="Grüße"))
    shown = sample(examples, TOKENIZER, 3)
    assert [each["id"] for each in shown] == ["r"]
    tokens = shown[0]["tokens"]
    assert tokens[0] == {"text": "<s>", "role": "special", "trained": False}
    assert tokens[-1] == {"text": "</s>", "role": "special", "trained": True}
    assert all(token["role"] == "text" for token in tokens[1:-1])


def test_a_row_that_vanishes_breaks_the_books(tmp_path: Path) -> None:
    found = gathered(tmp_path, labelled(20))
    lost = {**found.splits, "train": found.splits["train"][1:]}
    counts = {name: Counter[str]() for name in lost}
    with pytest.raises(AssertionError, match="kept 20 rows and the splits hold 19"):
        found.ledger.close(lost, counts)
    twice = {**found.splits, "train": found.splits["train"].take(np.array([0, *range(15)]))}
    with pytest.raises(AssertionError, match="kept 20 rows"):
        found.ledger.close(twice, counts)


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    write(tmp_path, "rows.jsonl", labelled(2500))
    found = collected(data(), tmp_path, after=lambda *said: told.append(said))
    encoded(found, codec(), after=lambda *said: told.append(said))
    assert ("read rows.jsonl", 1000, None) in told
    assert ("read rows.jsonl", 2500, 2500) in told
    assert ("step exact_dedup", 2500, 2500) in told
    for what in ("step exact_dedup, looking", "split", "split, looking for leaks"):
        assert [said[1:] for said in told if said[0] == what][:2] == [(1000, 2500), (2000, 2500)], what
    assert told.index(("split, looking for copies", 2500, 2500)) < told.index(("split", 1000, 2500))
    assert ("survey", 2000, 2000) in told
    assert ("tokenize", 2500, 2500) in told
    assert told[-1] == ("tokenize, counting", 2000, 2000)
