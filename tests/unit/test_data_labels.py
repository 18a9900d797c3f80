"""The steps of labels: votes gathered and settled, functions that vote, labels that look wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.data.methods.votes.confident import find_errors
from tunesmith.data.methods.votes.out_of_fold import few, folds_of, sampled
from tunesmith.data.passes.curate import StepResult, apply
from tunesmith.data.passes.workshop import Workshop
from tunesmith.data.prepare import collect
from tunesmith.data.read.row import to_record
from tunesmith.data.read.shape import recognise
from tunesmith.data.read.values import BadRow
from tunesmith.data.readers import Row
from tunesmith.data.room import Room
from tunesmith.data.steps.consensus import Consensus
from tunesmith.data.steps.gather_votes import GatherVotes
from tunesmith.data.steps.label_errors import LabelErrors
from tunesmith.data.steps.label_functions import LabelFunctions
from tunesmith.errors import DataError, GateFailed, SpecError
from tunesmith.part import LABEL_FUNCTIONS, STEPS
from tunesmith.records import Record
from tunesmith.spec.load import parse
from tunesmith.spec.sections import Data
from tunesmith.testing.material import Doubles


def rated(number: int, item: str, who: str, *labels: str, text: str = "") -> Record:
    slices = {"item": item, "who": who}
    return Record(f"r{number}", f"rows.jsonl:{number}", text=text or f"about {item}", labels=labels, slices=slices)


def voted(number: int, gold: str = "", **votes: str) -> Record:
    labels = (gold,) if gold else ()
    return Record(f"r{number}", f"rows.jsonl:{number}", text=f"text {number}", labels=labels, votes=votes)


def reasons(result: StepResult) -> dict[str, str]:
    return {drop.record.id: drop.reason for drop in result.dropped}


# Gathering --------------------------------------------------------------------------------------


def test_rows_of_one_item_become_votes_of_its_first() -> None:
    rows = [
        rated(1, "i1", "ann", "yes"),
        rated(2, "i2", "ann", "no"),
        rated(3, "i1", "bob", "no"),
        rated(4, "i1", "ann", "no"),
        rated(5, "(missing)", "bob", "no"),
        rated(6, "i2", "(missing)", "no"),
        rated(7, "i2", "bob"),
        rated(8, "i2", "cid", "yes", text="another text"),
    ]
    room = Room()
    result = apply(GatherVotes(item="item", annotator="who"), rows, room)
    assert [(r.id, r.votes, r.labels) for r in result.kept] == [
        ("r1", {"ann": "yes", "bob": "no"}, ()),
        ("r2", {"ann": "no", "cid": "yes"}, ()),
    ]
    assert reasons(result) == {
        "r3": "merged into another row",
        "r4": "second vote of one annotator on one item",
        "r5": "neither item nor annotator is named",
        "r6": "neither item nor annotator is named",
        "r7": "not one label to count as a vote",
        "r8": "merged into another row",
    }
    details = {drop.record.id: drop.detail for drop in result.dropped}
    assert details["r3"] == "of rows.jsonl:1" and details["r4"] == "by ann, who called it no here"
    assert room.findings.notes == ["1 items stand with more than one text; the first row's is kept"]
    assert GatherVotes(item="item", annotator="who").columns() == ("item", "who")


@pytest.mark.parametrize(
    ("written", "values", "votes"),
    [
        ({"votes": ["ann", "bob"]}, {"ann": "yes", "bob": 0}, {"ann": "yes", "bob": "0"}),
        ({"votes": ["ann", "bob"]}, {"ann": None, "bob": "no"}, {"bob": "no"}),
        ({"votes": "said"}, {"said": {"ann": "yes", "bob": "NULL"}}, {"ann": "yes"}),
        ({"votes": "said"}, {"said": '{"ann": "yes"}'}, {"ann": "yes"}),
        ({"votes": "said"}, {"said": ["yes", None, "no"]}, {"1": "yes", "3": "no"}),
        ({"votes": "said"}, {"said": [{"worker": 7, "label": "yes"}]}, {"7": "yes"}),
        ({"votes": "said"}, {"said": None}, {}),
    ],
)
def test_votes_are_read_from_columns_lists_and_objects(
    written: dict[str, Any], values: dict[str, Any], votes: dict[str, str]
) -> None:
    row = Row({"t": "a text", "g": "yes", **values}, "a.jsonl:1")
    record = to_record(row, recognise([row], {"text": "t", **written}, None))
    assert (record.text, record.votes, record.labels) == ("a text", votes, ())
    with_gold = to_record(row, recognise([row], {"text": "t", "label": "g", **written}, None))
    assert (with_gold.labels, with_gold.votes) == (("yes",), votes)


@pytest.mark.parametrize("said", ["yes", "{broken", [{"worker": 7}], 3])
def test_what_are_no_votes_is_a_bad_row(said: Any) -> None:
    row = Row({"t": "a text", "said": said}, "a.jsonl:1")
    recognised = recognise([row], {"text": "t", "votes": "said"}, None)
    with pytest.raises(BadRow):
        to_record(row, recognised)


def test_only_votes_may_name_several_columns() -> None:
    row = Row({"t": "a text", "a": "x"}, "a.jsonl:1")
    with pytest.raises(DataError, match="label"):
        recognise([row], {"text": "t", "label": ["a"]}, None)
    with pytest.raises(DataError, match="there is no column 'b'"):
        recognise([row], {"text": "t", "votes": ["a", "b"]}, None)


# Consensus --------------------------------------------------------------------------------------

PANEL = [
    voted(1, a="x", b="x", c="x"),
    voted(2, a="y", b="y", c="x"),
    voted(3, a="x", b="y"),
    voted(4),
    voted(5, gold="y", a="x", b="x", c="x"),
    voted(6, gold="x"),
    voted(7, a="y", b="y", c="y"),
]


def test_labels_are_settled_and_what_cannot_be_is_dropped() -> None:
    room = Room()
    result = apply(Consensus(method="majority", min_confidence=0.6), PANEL, room)
    assert {r.id: (r.labels, r.slices.get("confidence")) for r in result.kept} == {
        "r1": (("x",), "1.0000"),
        "r2": (("y",), "0.6667"),
        "r5": (("y",), None),
        "r6": (("x",), None),
        "r7": (("y",), "1.0000"),
    }
    assert reasons(result) == {"r3": "votes leave the label undecided", "r4": "nobody voted"}
    assert [drop.detail for drop in result.dropped if drop.record.id == "r3"] == ["x at 0.50"]
    found = room.findings.figures
    assert found["votes"] == {"rows": 7, "rows_with_votes": 5, "votes": 14, "ties": 1}
    assert found["consensus"]["decided"] == 0.8
    assert found["balance"]["shares"] == {"x": 0.6, "y": 0.4} and found["balance"]["ratio"] == 1.5
    assert found["accuracy"] == {"rows": 1, "consensus": 0.0, "majority": 0.0}
    assert found["agreement"]["krippendorff_alpha"]["low"] <= found["agreement"]["krippendorff_alpha"]["value"]
    assert {tuple(pair["annotators"]) for pair in found["agreement"]["cohen_kappa"]} == {
        ("a", "b"), ("a", "c"), ("b", "c")
    }  # fmt: skip
    assert {row["name"]: row["votes"] for row in found["annotators"]} == {"a": 5, "b": 5, "c": 4}
    assert [row["id"] for row in room.findings.examples["rows that annotators dispute the most"]] == ["r3", "r2"]
    assert room.findings.distributions[0].cut == 1
    assert any("the one commoner in all votes" in note for note in room.findings.notes)
    json.dumps(found, allow_nan=False)


def test_undecided_rows_can_take_the_majority() -> None:
    result = apply(Consensus(method="majority", min_confidence=0.6, undecided="keep_majority"), PANEL)
    assert {r.id: (r.labels, r.slices.get("confidence")) for r in result.kept}["r3"] == (("x",), "0.5000")


def test_a_known_label_is_kept_unless_it_is_to_be_replaced() -> None:
    kept = {r.id: r.labels for r in apply(Consensus(gold="replace"), PANEL).kept}
    assert kept["r5"] == ("x",) and kept["r6"] == ("x",), "a label without votes stays"


def test_settled_rows_may_count_by_their_confidence() -> None:
    kept = {r.id: r.weight for r in apply(Consensus(method="majority", weigh=True), PANEL).kept}
    assert kept["r2"] == pytest.approx(2 / 3) and kept["r1"] == 1.0 and kept["r5"] == 1.0


@pytest.mark.parametrize("method", ["majority", "dawid_skene", "one_coin", "mace", "label_model"])
def test_every_method_settles_clear_votes(method: Any) -> None:
    rows = [voted(n, **dict.fromkeys("abc", "xy"[n % 2])) for n in range(20)]
    room = Room()
    result = apply(Consensus(method=method), rows, room)
    assert [r.label for r in result.kept] == ["xy"[n % 2] for n in range(20)]
    assert room.findings.figures["consensus"]["method"] == method


def test_methods_differ_where_one_annotator_is_wrong_on_purpose() -> None:
    generator = np.random.default_rng(0)
    rows = []
    for number in range(200):
        true = int(generator.integers(2))
        right = {name: true if generator.random() < 0.8 else 1 - true for name in "abc"}
        contrary = dict.fromkeys("de", 1 - true)
        rows.append(voted(number, str(true), **{name: str(label) for name, label in {**right, **contrary}.items()}))
    accuracies = {}
    for method in ("majority", "dawid_skene", "one_coin"):
        room = Room()
        apply(Consensus(method=method, gold="replace"), rows, room)  # type: ignore[arg-type]
        accuracies[method] = room.findings.figures["accuracy"]["consensus"]
    assert accuracies["dawid_skene"] != accuracies["majority"]
    assert Room(seed=1).seed == 1


def test_balance_moves_labels_and_is_for_the_label_model_alone() -> None:
    rows = [voted(n, **({"f": "x", "g": "y"} if n % 3 else {"f": "x"} if n % 2 else {"g": "y"})) for n in range(60)]
    shares = []
    for x in (0.9, 0.1):
        room = Room()
        apply(Consensus(method="label_model", balance={"x": x, "y": 1 - x}), rows, room)
        shares.append(room.findings.figures["balance"]["shares"].get("x", 0.0))
    assert shares[0] > shares[1]
    with pytest.raises(DataError, match="how common 'y' is"):
        apply(Consensus(method="label_model", balance={"x": 1.0}), rows)
    with pytest.raises(ValueError, match="label_model only"):
        Consensus(method="mace", balance={"x": 1.0})
    with pytest.raises(ValueError, match="above 0"):
        Consensus(method="label_model", balance={"x": 0.0})


def test_near_misses_count_where_labels_have_an_order() -> None:
    rows = [voted(n, a=a, b=b) for n, (a, b) in enumerate([("low", "mid"), ("mid", "high"), ("low", "low")] * 4)]
    plain, ordered = Room(), Room()
    apply(Consensus(), rows, plain)
    apply(Consensus(order=("low", "mid", "high")), rows, ordered)
    assert "krippendorff_alpha_ordinal" not in plain.findings.figures["agreement"]
    found = ordered.findings.figures["agreement"]
    assert found["krippendorff_alpha_ordinal"]["value"] > found["krippendorff_alpha"]["value"]
    numbers = Room()
    apply(Consensus(), [voted(n, a=str(n % 3), b=str(n % 2)) for n in range(9)], numbers)
    assert "krippendorff_alpha_interval" in numbers.findings.figures["agreement"]


def test_votes_a_method_is_not_made_for_are_said() -> None:
    rows = [voted(n, **({"f": "x"} if n % 3 else {"g": "y"})) for n in range(30)]
    room = Room()
    apply(Consensus(), rows, room)
    assert any("method: label_model" in note for note in room.findings.notes)
    room = Room()
    apply(Consensus(method="label_model"), rows, room)
    assert not any("method: label_model" in note for note in room.findings.notes)


def test_rows_without_any_votes() -> None:
    result = apply(Consensus(), [voted(1), voted(2, gold="x")])
    assert reasons(result) == {"r1": "nobody voted"} and [r.id for r in result.kept] == ["r2"]


# Labelling functions ----------------------------------------------------------------------------


def function(kind: str, **settings: Any) -> Any:
    return LABEL_FUNCTIONS.make({"kind": kind, "name": "f", "label": "x", **settings})


def votes_of(made: Any, *texts: str) -> list[str | None]:
    rows = [Record(f"r{n}", f"a:{n}", text=text) for n, text in enumerate(texts)]
    return list(made.votes(rows, Room(models=Doubles())))


@pytest.mark.parametrize(
    ("settings", "text", "fires"),
    [
        ({"words": ["win"]}, "You WIN.", True),
        ({"words": ["win"]}, "a window", False),
        ({"words": ["win"], "whole_words": False}, "a window", True),
        ({"words": ["Win"], "match_case": True}, "you win", False),
        ({"words": ["Win"], "match_case": True}, "Win it", True),
        ({"words": ["money back"]}, "money\n  back", True),
        ({"words": ["win", "prize"], "at_least": 2}, "win win win", False),
        ({"words": ["win", "prize"], "at_least": 2}, "win a Prize", True),
        ({"words": ["c++"]}, "in C++?", True),
    ],
)
def test_keywords(settings: dict[str, Any], text: str, fires: bool) -> None:
    assert votes_of(function("keywords", **settings), text) == ["x" if fires else None]


def test_regex_and_its_absence() -> None:
    assert votes_of(function("regex", pattern=r"\d{3}"), "a 123", "a 12") == ["x", None]
    assert votes_of(function("regex", pattern=r"\d{3}", absent=True), "a 123", "a 12") == [None, "x"]
    with pytest.raises(ValueError, match="no regular expression"):
        function("regex", pattern="(")


def test_a_model_votes_where_it_is_sure() -> None:
    # The double gives `billing` one half, a third, a quarter ... by the length of the text.
    texts = ["12345", "1", "12", "123"]
    anything = LABEL_FUNCTIONS.make({"kind": "model", "name": "m", "model": "run:a/1", "above": 0.7})
    assert votes_of(anything, *texts) == [None, None, "delivery", "delivery"]
    one = LABEL_FUNCTIONS.make({"kind": "model", "name": "m", "model": "run:a/1", "above": 0.3, "label": "billing"})
    assert votes_of(one, *texts) == ["billing", "billing", None, None]
    with pytest.raises(DataError, match="does not know the label 'bilingual'"):
        votes_of(function("model", model="run:a/1", label="bilingual"), "x")
    assert LabelFunctions(functions=(anything,)).models() == ("run:a/1",)


FUNCTIONS = (
    {"kind": "keywords", "name": "prize", "words": ["prize", "win"], "label": "spam"},
    {"kind": "regex", "name": "digits", "pattern": r"\d{5}", "label": "spam"},
    {"kind": "keywords", "name": "home", "words": ["home"], "label": "ham"},
    {"kind": "keywords", "name": "never", "words": ["xylophone"], "label": "ham"},
)


def test_functions_vote_beside_each_other_and_are_measured() -> None:
    texts = ["win a prize 12345", "home", "win at home", "nothing", "12345 home"]
    rows = [
        Record(f"r{n}", f"a:{n}", text=text, labels=("spam",) if n < 3 else (), votes={"ann": "ham"} if n == 1 else {})
        for n, text in enumerate(texts)
    ]
    room = Room()
    step = LabelFunctions(functions=tuple(map(LABEL_FUNCTIONS.make, FUNCTIONS)))
    result = apply(step, rows, room)
    assert [dict(r.votes) for r in result.kept] == [
        {"prize": "spam", "digits": "spam"},
        {"ann": "ham", "home": "ham"},
        {"prize": "spam", "home": "ham"},
        {},
        {"digits": "spam", "home": "ham"},
    ]
    assert {change.after.id for change in result.changed} == {"r0", "r1", "r2", "r4"}
    assert [r.labels for r in result.kept] == [r.labels for r in rows], "labels stay"
    table = {row["name"]: row for row in room.findings.figures["labelling functions"]}
    assert (table["prize"]["coverage"], table["prize"]["overlap"], table["prize"]["conflict"]) == (0.4, 0.4, 0.2)
    assert (table["prize"]["accuracy"], table["prize"]["judged"]) == (1.0, 2)
    assert (table["home"]["accuracy"], table["home"]["judged"]) == (0.0, 2)
    assert table["digits"]["labels"] == ("spam",)
    assert table["never"]["votes"] == 0
    assert room.findings.figures["coverage"] == {"rows": 5, "covered": 0.8, "conflict": 0.4}
    assert any("never" in note for note in room.findings.notes)
    assert reasons(apply(Consensus(method="label_model"), result.kept)) == {"r3": "nobody voted"}


def test_votes_are_not_overwritten() -> None:
    rows = [Record("r", "a:1", text="win", votes={"prize": "ham"})]
    step = LabelFunctions(functions=tuple(map(LABEL_FUNCTIONS.make, FUNCTIONS)))
    with pytest.raises(DataError, match="'prize' has voted on a:1 already"):
        apply(step, rows)


def test_functions_of_a_spec_are_checked_where_they_stand() -> None:
    spec = """
name: t
data:
  sources: [a.jsonl]
  steps:
    - kind: label_functions
      functions:
        - {kind: keywords, name: a, words: [x], label: y}
        - {kind: keyword, name: b, words: [x], label: y}
        - {kind: regex, name: c, pattern: x, lable: y}
"""
    with pytest.raises(SpecError) as caught:
        parse(spec, "t.yaml")
    said = str(caught.value)
    assert "t.yaml:9" in said and "did you mean 'keywords'" in said
    assert "t.yaml:10" in said and "did you mean 'label'" in said
    twice = {"kind": "label_functions", "functions": [FUNCTIONS[0], FUNCTIONS[0]]}
    with pytest.raises(ValueError, match="two functions are called 'prize'"):
        STEPS.make(twice)


# Labels that look wrong -------------------------------------------------------------------------

WORDS = {"a": "apple pear plum cherry fig", "b": "bolt screw nail hammer saw", "c": "cat dog cow hen pig"}


def planted(count: int = 150, wrong: int = 12, seed: int = 0) -> tuple[list[Record], set[str]]:
    """Texts of three clear sorts, some with the label of another."""
    generator = np.random.default_rng(seed)
    rows, bad = [], set()
    for number in range(count):
        true = "abc"[number % 3]
        text = " ".join(generator.choice(WORDS[true].split(), 5)) + f" and thing {number}"
        label = true
        if number < wrong:
            label = "abc"[(number + 1) % 3]
            bad.add(f"r{number}")
        rows.append(Record(f"r{number}", f"a:{number}", text=text, labels=(label,)))
    return rows, bad


@pytest.mark.parametrize("rule", ["lowest", "confident", "noise_rate"])
def test_planted_errors_are_found_and_only_shown(rule: Any) -> None:
    rows, bad = planted()
    room = Room()
    result = apply(LabelErrors(rule=rule), rows, room)
    assert (result.kept, result.dropped, result.changed) == (rows, [], [])
    suspicious = room.findings.figures["suspicious rows"]
    found = {row["id"] for row in suspicious}
    assert len(found & bad) >= 11 and len(found - bad) <= 2
    assert all(row["suggested"] == "abc"[int(row["id"][1:]) % 3] for row in suspicious if row["id"] in bad)
    assert [row["score"] for row in suspicious] == sorted(row["score"] for row in suspicious)
    figures = room.findings.figures["label errors"]
    assert figures["estimated_rate"] == pytest.approx(12 / 150, abs=0.03) and figures["judged"] == 150
    assert figures["labels"]["b"]["mostly_for"] == "a", "an a was called b"
    shown = room.findings.examples["labels that look wrong"]
    assert {"id", "text", "label", "suggested", "score", "source"} == set(shown[0])


def test_what_becomes_of_them_is_a_setting() -> None:
    rows, bad = planted()
    dropped = apply(LabelErrors(action="drop"), rows)
    assert len(set(reasons(dropped)) & bad) >= 11 and set(reasons(dropped).values()) == {"label looks wrong"}
    weighed = apply(LabelErrors(action="weigh"), rows)
    assert weighed.dropped == [] and {r.id for r in weighed.kept if r.weight < 1} == set(reasons(dropped))
    assert all(r.weight < 0.5 for r in weighed.kept if r.id in bad and r.weight < 1)


def test_rows_that_cannot_be_judged_are_said() -> None:
    rows, _ = planted(60, 0)
    rows += [
        Record("several", "a:90", text="x", labels=("a", "b")),
        Record("none", "a:91", text="x"),
        *(Record(f"rare{n}", f"a:{92 + n}", text="very rare thing", labels=("rare",)) for n in range(9)),
    ]
    room = Room()
    assert apply(LabelErrors(), rows, room).kept == rows
    assert room.findings.figures["label errors"]["judged"] == 60
    assert any("2 rows without exactly one label" in note for note in room.findings.notes)
    assert any("different texts are not judged: rare" in note for note in room.findings.notes)
    one = Room()
    apply(LabelErrors(), [row for row in rows if row.label in ("a", None)], one)
    assert any("no labels were judged" in note for note in one.findings.notes)


def test_an_embedder_may_stand_in_for_words() -> None:
    class Counting(Doubles):
        embedded = 0

        def embed(self, texts: Sequence[str]) -> Any:
            self.embedded += len(texts)
            return super().embed(texts)

    rows, _ = planted(60, 0)
    models = Counting()
    step = LabelErrors(model="a folder", folds=3, score="normalized_margin")
    assert step.models() == ("a folder",) and LabelErrors().models() == ()
    apply(step, rows, Room(models=models))
    assert models.embedded == 120, "once to learn from, once to be judged"


def test_copies_share_a_fold_and_labels_are_spread() -> None:
    given = np.array([0] * 40 + [1] * 20)
    keys = np.array([f"{number // 2}".encode() for number in range(60)])
    fold = folds_of(keys, given, 5, seed=0)
    assert (fold[::2] == fold[1::2]).all()
    counts = np.array([[np.sum((given == label) & (fold == n)) for n in range(5)] for label in (0, 1)])
    assert (counts == [[8] * 5, [4] * 5]).all()
    assert not (fold == folds_of(keys, given, 5, seed=1)).all()
    assert few(keys, given, 3, 11).tolist() == [False, True, True]


def test_models_learn_from_a_bounded_sample() -> None:
    given = np.array([0] * 900 + [1] * 95 + [2] * 5)
    taken = sampled(given, 0, most=100)
    assert np.bincount(given[taken]).tolist() == [90, 9, 3]
    assert sampled(given, 0, most=1000).all()


def test_thresholds_are_the_mean_of_each_label() -> None:
    given = np.array([0, 0, 1, 1])
    sure = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.4, 0.6]])
    found = find_errors(given, sure, rule="confident")
    assert found.thresholds_C.tolist() == pytest.approx([0.6, 0.7])
    assert found.wrong_N.tolist() == [False, True, False, False]
    # Of label 0 one row each is confidently 0 and 1; of label 1 one is confidently 1, and stands for both.
    assert found.joint_GT.tolist() == [[1, 1], [0, 2]] and found.rate == 0.25
    assert found.score_N.tolist() == [0.9, 0.3, 0.8, 0.6] and found.ranked.tolist() == [1]


def test_votes_go_through_the_whole_preparation(tmp_path: Path) -> None:
    """Three votes an item: two of three rows are merged, which is not called a loss."""
    generator = np.random.default_rng(0)
    rows = [
        {"text": f"text {n}", "label": "yn"[n % 2 if generator.random() < 0.9 else 1 - n % 2], "item": n, "who": who}
        for n in range(40)
        for who in ("ann", "bob", "cid")
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    steps = [{"kind": "gather_votes", "item": "item", "annotator": "who"}, {"kind": "consensus"}]
    data = Data.model_validate({"sources": ["rows.jsonl"], "steps": steps})
    found = collect(data, shop=Workshop(folder=tmp_path))
    records = [record for split in found.splits.values() for record in split]
    assert len(records) == 40 and all(len(record.votes) == 3 and record.label in ("y", "n") for record in records)
    assert {record.label for record in records} == {"n", "y"} and "confidence" in records[0].slices
    assert found.ledger.lost == 80
    nobody = Data.model_validate(
        {"sources": ["rows.jsonl"], "steps": [{**steps[0], "item": "label"}], "max_dropped": 0.0}
    )
    with pytest.raises(GateFailed, match="second vote"):
        collect(nobody, shop=Workshop(folder=tmp_path))


def test_the_steps_are_found_in_a_spec(tmp_path: Path) -> None:
    spec, _ = parse(
        "name: t\ndata:\n  sources: [{path: a.jsonl, map: {text: t, votes: [ann, bob]}}]\n"
        "  steps: [{kind: gather_votes, item: i, annotator: w}, {kind: consensus, method: mace}, label_errors]\n"
    )
    assert spec.data.sources[0].map == {"text": "t", "votes": ["ann", "bob"]}
    assert [step.kind for step in spec.data.steps or ()] == ["gather_votes", "consensus", "label_errors"]
