"""An audit: its figures against brute force, and faults planted in healthy data, each found and given its remedy."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML
from tests.unit.audit_fixture import audited, healthy

from tunesmith.data.audit import table
from tunesmith.data.audit.coverage import half_width, rows_needed
from tunesmith.data.audit.odd import odd_rows
from tunesmith.data.audit.readability import formula, grade, syllables
from tunesmith.data.audit.said import words
from tunesmith.data.audit.topics import alikeness, topics, vectors
from tunesmith.data.audit.variety import distinct, type_token
from tunesmith.records import Message, Record
from tunesmith.spec.load import load
from tunesmith.spec.sections import SplitRule


@pytest.fixture(autouse=True, scope="module")
def few_detected() -> Iterator[None]:
    """Detecting a language takes milliseconds; some rows will do here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tunesmith.data.audit.MOST_DETECTED", 60)
        yield


@pytest.fixture(scope="module")
def sound() -> dict[str, Any]:
    return audited(healthy(), reported=["channel"])


def found(audit: dict[str, Any], name: str) -> dict[str, Any]:
    (finding,) = [finding for finding in audit["findings"] if finding["id"].partition(":")[0] == name]
    return finding


def alarms(audit: dict[str, Any]) -> list[str]:
    return [finding["id"] for finding in audit["findings"] if finding["level"] != "know"]


def test_healthy_data_raise_no_alarm(sound: dict[str, Any]) -> None:
    assert alarms(sound) == []
    assert sound["languages"]["main"] == "en"


def test_figures_are_those_of_brute_force(sound: dict[str, Any]) -> None:
    records = healthy()
    texts = [record.text or "" for record in records]
    assert sound["sizes"]["rows"] == 1440
    assert sound["sizes"]["words"] == sound["sizes"]["tokens"] == sum(len(text.split()) for text in texts)
    assert sound["sizes"]["characters"] == sum(map(len, texts))
    assert [split["rows"] for split in sound["sizes"]["splits"]] == [864, 144, 432]
    lengths = [len(text.split()) for text in texts]
    drawn = sound["sizes"]["lengths"][0]
    assert sum(drawn["bars"]) <= 1440 and drawn["mean"] == pytest.approx(np.mean(lengths))
    assert drawn["quantiles"]["p95"] == np.percentile(lengths, 95)
    labels = sound["labels"]
    assert {one["label"]: one["rows"] for one in labels["labels"]} == Counter(r.label for r in records)
    assert (labels["ratio"], labels["majority"]) == (1.0, 0.25)
    assert labels["entropy"] == pytest.approx(1) and labels["effective"] == pytest.approx(4)
    channels = Counter(record.slices["channel"] for record in records)
    assert {one["value"]: one["rows"] for one in sound["coverage"]["values"]} == channels
    (crossed,) = [t for t in sound["coverage"]["tables"] if {t["rows"], t["columns"]} == {"label", "channel"}]
    for (row, label), (column, channel) in itertools.product(
        enumerate(crossed["row_values"]), enumerate(crossed["column_values"])
    ):
        expected = sum((r.label, r.slices["channel"]) == (label, channel) for r in records)
        assert crossed["counts"][row][column] == expected
    vocabulary = Counter(word for text in texts for word in words(text))
    assert sound["variety"]["vocabulary"] == len(vocabulary)


def test_variety_is_counted_at_a_fixed_size() -> None:
    rows = [["a", "b", "a"], ["a", "b"]]
    assert distinct(rows, 1) == 2 / 5 and distinct(rows, 2) == 2 / 3 and distinct(rows, 3) == 1.0
    assert distinct(rows, 4) is None
    assert type_token([["a", "b"] * 400]) is None
    assert type_token([[str(n) for n in range(1500)], ["x"] * 500]) == pytest.approx((1000 + 501) / 2000)


def test_alikeness_is_the_mean_cosine_of_all_pairs() -> None:
    texts = ["red apple pie", "red apple", "green pear pie", "red pear", "green apple tart", "tart pear"]
    made = vectors(texts)
    assert made is not None
    dense = made.matrix_NW.toarray()
    pairs = [float(dense[one] @ dense[other]) for one, other in itertools.combinations(range(len(texts)), 2)]
    assert alikeness(made) == pytest.approx(np.mean(pairs))


def test_topics_are_themes_and_stay_the_same(sound: dict[str, Any]) -> None:
    assert audited(healthy(), reported=["channel"])["topics"] == sound["topics"]
    assert sum(topic["rows"] for topic in sound["topics"]) == pytest.approx(1440, abs=30)
    for topic in sound["topics"]:
        assert topic["label"]["share"] > 0.8 and len(topic["words"]) == 6
        assert topic["examples"][0]["source"].startswith("rows.jsonl:")


def test_few_rows_have_no_topics_and_no_words_in_common_no_vectors() -> None:
    made = vectors(["red apple pie", "red apple", "green pear"] * 5)
    assert made is not None and topics(made, 0) is None
    assert vectors(["one", "two"]) is None and vectors(["", ""]) is None


# Readability


def test_the_grade_is_the_formula_on_counts() -> None:
    text = "The cat sat on the mat. The dog ran to the park. We had fun."
    assert formula(15, 3, 15) == pytest.approx(-1.84, abs=0.005)
    assert grade(text) == pytest.approx(-1.84, abs=0.005)
    assert grade("... 12 !") is not None and grade("?!") is None


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("the", 1), ("made", 1), ("table", 2), ("people", 2), ("walked", 1), ("wanted", 2), ("idea", 3), ("area", 3),
        ("science", 2), ("beautiful", 3), ("education", 4), ("create", 2), ("quiet", 2), ("being", 2), ("houses", 2),
        ("changes", 2), ("radio", 3), ("million", 2), ("museum", 3), ("happier", 3), ("eyes", 1), ("society", 4),
    ],
)  # fmt: skip
def test_syllables_of_common_words(word: str, count: int) -> None:
    assert syllables(word) == count


def test_long_words_in_long_sentences_are_harder() -> None:
    easy = "We went to the sea. The sun was hot. We swam and ate."
    hard = "Notwithstanding considerable administrative complications, international negotiations concluded favourably."
    assert (grade(hard) or 0) > (grade(easy) or 0) + 15


# Faults


def test_an_interval_takes_the_rows_it_is_said_to_take() -> None:
    assert rows_needed() == 381
    assert half_width(381) <= 0.05 < half_width(380)  # type: ignore[operator]
    assert half_width(0) is None
    # Wilson's interval of half of the rows right.
    z, n = 1.959964, 100
    assert half_width(100) == pytest.approx(z * math.sqrt(0.25 / n + z * z / (4 * n * n)) / (1 + z * z / n))


def test_uneven_labels_are_found() -> None:
    rows = healthy()
    kept = [record for n, record in enumerate(rows) if record.label != "returns" or n % 80 == 3]
    finding = found(audited(kept), "imbalance")
    assert "'returns' 18" in finding["said"] and "(20 to 1)" in finding["said"]
    assert "f1_macro" in finding["yaml"]


def test_a_label_with_few_rows_and_none_to_test_is_named() -> None:
    rows = healthy()
    rare = [replace(rows[n], id=f"x{n}", labels=("odd one",)) for n in range(3)]
    splits_N = np.array([0] * 864 + [1] * 144 + [2] * 432 + [0] * 3, np.int8)
    audit = audited([*rows, *rare], splits_N=splits_N)
    assert found(audit, "rare-labels")["said"].endswith("fewer than 10 training rows: odd one.")
    assert "test: 0.4" in found(audit, "untested-labels")["yaml"]


def test_copies_are_counted_and_those_across_splits_come_first() -> None:
    rows = healthy()
    copies = [replace(rows[n], id=f"c{n}", text=(rows[n].text or "").upper()) for n in range(40)]
    conflict = replace(rows[50], id="c50", labels=("returns" if rows[50].label != "returns" else "billing",))
    splits_N = np.array([0] * 864 + [1] * 144 + [2] * 432 + [2] * 41, np.int8)
    audit = audited([*rows, *copies, conflict], splits_N=splits_N)
    assert (audit["copies"]["exact"], audit["copies"]["conflicts"]) == (41, 1)
    assert audit["copies"]["crossing"] == 41
    assert audit["findings"][0]["id"] == "leak" and "leakage: together" in audit["findings"][0]["yaml"]
    assert "41 rows repeat another word for word" in found(audit, "exact-copies")["said"]
    assert "exact_dedup, ignore: [case, whitespace]" in found(audit, "exact-copies")["yaml"]
    assert "1 row has the words of another row" in found(audit, "conflicts")["said"]


def test_another_language_is_found_and_the_step_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.data.audit.MOST_DETECTED", 10_000)
    rows = healthy(360)
    german = "Guten Tag, ich habe meine Bestellung noch nicht erhalten und möchte gerne wissen, wann das Paket kommt."
    foreign = [replace(rows[n], text=f"{german} Die Nummer ist {n}.") for n in range(0, 120, 4)]
    audit = audited([*rows[120:], *foreign])
    finding = found(audit, "languages")
    assert "are not in 'en'" in finding["said"] and finding["said"].endswith("but in de.")
    assert "{kind: language, keep: [en]}" in finding["yaml"]
    assert audit["languages"]["counts"]["de"] == 30 == audit["languages"]["other"]


def test_giant_rows_are_found() -> None:
    rows = healthy()
    giant = replace(rows[7], text=" ".join(record.text or "" for record in rows[:400]))
    finding = found(audited([*rows[:7], giant, *rows[8:]]), "giants")
    assert finding["said"].startswith("1 row is far longer") and "rows.jsonl:8" in finding["said"]
    assert f"highest: {len(giant.text or '') - 1}" in finding["yaml"]


def test_noise_and_other_scripts_are_odd() -> None:
    rows = [record.text or "" for record in healthy(1000)]
    planted = {
        100: "kq zzxv pqj wvxz qjkx vvzq xkjq zqv pxq jvq xzk",
        200: "Она ждёт ответа уже неделю.",
        300: "x" * 9000,
    }
    for at, text in planted.items():
        rows[at] = text
    assert {row["row"] for row in odd_rows(rows)} == set(planted)
    assert odd_rows([]) == [] and odd_rows(["one", "two"]) == []


def test_an_empty_cell_of_two_columns_is_a_gap() -> None:
    rows = [record for record in healthy() if (record.label, record.slices["channel"]) != ("returns", "phone")]
    audit = audited(rows, reported=["channel"])
    finding = found(audit, "gap")
    assert "label 'returns'" in finding["said"] and "channel 'phone'" in finding["said"]
    assert "about 65 would be expected" in finding["said"]  # 240 of a label, 360 of a channel, 1,320 in all


def test_values_that_stand_together_by_nature_are_no_gaps() -> None:
    rows = [
        replace(r, slices={"team": {"billing": "money", "returns": "goods"}.get(r.label or "", "other")})
        for r in healthy()
    ]
    assert not alarms(audited(rows, reported=["team"]))


def test_small_groups_are_named() -> None:
    rows = healthy()
    rows[:9] = [replace(record, slices={"channel": "fax"}) for record in rows[:9]]
    finding = found(audited(rows, reported=["channel"]), "group")
    assert "channel: fax makes less than 1%" in finding["said"]


def test_cut_rows_are_found() -> None:
    ledger = {"splits": {"train": {"truncated": {"rows": 300, "tokens": 4000}}}}
    finding = found(audited(healthy(600), ledger=ledger, max_length=16), "cut")
    assert "300 training rows lose 4,000 tokens to the limit of 16" in finding["said"]
    assert finding["yaml"] == "data:\n  too_long: drop"


def test_a_small_test_split_says_how_far_it_reaches() -> None:
    audit = audited(healthy(1200), rule=SplitRule(leakage="ignore"))
    finding = found(audit, "small-test")
    assert (
        finding["level"] == "know"
        and "120 test rows tell a share of right answers to about ±9 points" in finding["said"]
    )
    assert "test: 0.32" in finding["yaml"]
    few = found(audited(healthy(400), rule=SplitRule(leakage="ignore")), "small-test")
    assert few["level"] == "look" and few["yaml"] == "evaluate: {folds: 5}"


def test_in_folds_every_row_is_tested() -> None:
    rule = SplitRule.model_validate({"train": 0.9, "validation": 0.1, "test": 0, "leakage": "ignore"})
    said = [
        {one["id"] for one in audited(healthy(1200), reported=["channel"], rule=rule, folded=folded)["findings"]}
        for folded in (False, True)
    ]
    assert "untested-labels" in said[0] and "thin" in said[0]
    assert not {"untested-labels", "thin", "small-test"} & said[1]


def test_the_same_answer_again_and_again_is_found() -> None:
    rows = [
        Record(f"r{n}", f"s:{n}", messages=(
            Message("user", r.text or ""),
            Message("assistant", "I do not know." if n % 3 == 0 else f"It is number {n}.", trained=True),
        ))
        for n, r in enumerate(healthy(600))
    ]  # fmt: skip
    audit = audited(rows)
    assert "33% of the answers are the same: 'I do not know.'" in found(audit, "same-answer")["said"]
    assert [one["what"] for one in audit["sizes"]["lengths"]] == [
        "words in a prompt", "tokens in a prompt", "words in an answer", "tokens in an answer",
    ]  # fmt: skip


def test_what_a_gate_refuses_comes_first() -> None:
    audit = audited(healthy(600), refused="all rows have one label; add rows of another")
    assert audit["findings"][0]["said"] == "all rows have one label; add rows of another"


def test_what_steps_found_and_left_is_to_be_mended() -> None:
    told = {
        "label errors": {"judged": 900, "look_wrong": 40, "estimated_rate": 0.04},
        "personal data": {"action": "report", "kinds": {"email": {"finds": 30, "rows": 20}}},
        "secrets": {"action": "mask", "kinds": {"a key": 2}},
    }
    step = {"step": "x", "settings": {"action": "report"}, "findings": {"figures": told}}
    audit = audited(healthy(400), ledger={"steps": [step, {"step": "y"}]})
    assert found(audit, "pii")["said"] == "Personal data stand in the rows: email 30."
    assert "40 of 900 labels look wrong; 4.0% are estimated to be" in found(audit, "suspects")["said"]
    assert found(audit, "suspects")["level"] == found(audit, "pii")["level"] == "do"
    secrets = found(audit, "secrets")
    assert secrets["level"] == "know" and "treated (mask): a key 2" in secrets["said"]


def test_every_remedy_is_a_spec_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of all findings that the faults above bring."""
    monkeypatch.setattr("tunesmith.data.audit.MOST_DETECTED", 400)
    rows = healthy()
    german = "Guten Tag, ich habe meine Bestellung noch nicht erhalten und möchte gerne wissen, wann das Paket kommt."
    rows = [r for n, r in enumerate(rows) if r.label != "returns" or n % 100 == 3]
    rows += [replace(rows[n], id=f"g{n}", text=f"{german} {n}") for n in range(120)]
    rows += [replace(rows[n], id=f"c{n}") for n in range(100)]
    rows += [replace(rows[3], id="big", text=" ".join(r.text or "" for r in rows[:500]))]
    rows += [replace(rows[4], id="odd", text="kq zzxv pqj wvxz qjkx vvzq xkjq zqv pxq jvq xzk")]
    ledger = {"splits": {"train": {"truncated": {"rows": 300, "tokens": 4000}}}}
    splits_N = np.arange(len(rows)) % 3
    made = audited(rows, splits_N=splits_N.astype(np.int8), ledger=ledger, steps=["clean"])
    lines = {finding["id"]: finding["yaml"] for finding in made["findings"] if finding["yaml"]}
    assert {"leak", "exact-copies", "imbalance", "cut", "languages", "giants", "strange"} <= set(lines)
    for text in lines.values():
        spec = {"name": "x", "data": {"sources": ["a.jsonl"]}}
        for section, settings in YAML(typ="safe").load(text).items():
            spec[section] = {**spec.get(section, {}), **settings}  # type: ignore[dict-item]
        path = tmp_path / "spec.yaml"
        YAML(typ="safe").dump(spec, path)
        load(path, [])


def test_of_many_rows_a_sample_is_drawn_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MOST_ROWS", 700)
    rows = healthy(1400)
    audit = audited(rows)
    assert audit["sampled"] == {"rows": 700, "of": 1400}
    assert audit["sizes"]["words"] == sum(len((record.text or "").split()) for record in rows)
    assert audit["sizes"]["tokens"] == pytest.approx(audit["sizes"]["words"], rel=0.05)
    assert audited(rows) == audit


def test_no_rows_and_one_row_are_no_error() -> None:
    for rows in ([], healthy(1)):
        made = audited(rows, rule=SplitRule(), splits_N=np.zeros(len(rows), np.int8))
        assert made["sizes"]["rows"] == len(rows)
