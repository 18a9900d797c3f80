"""What answers rest on: words found and clean models left alone, probes, the surrogate, nearest rows, the page."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tunesmith.data.methods.augmenting.noise import left_out
from tunesmith.data.methods.augmenting.words import pieces
from tunesmith.data.rewrite import edited
from tunesmith.data.room import Room
from tunesmith.data.steps.decorrelate_words import DecorrelateWords
from tunesmith.evaluate.comparison import Estimate
from tunesmith.evaluate.explain.found import (
    Counted,
    Doubted,
    Effect,
    Explained,
    Explanation,
    Layer,
    Nearest,
    Neighbour,
    Probe,
    Sanity,
    Shortcut,
    Shortcuts,
    Surrogate,
    Token,
    Tried,
    Without,
)
from tunesmith.evaluate.explain.nearest import nearest, neighbours
from tunesmith.evaluate.explain.probes import layers_of, probe
from tunesmith.evaluate.explain.rows import choose, rank_correlation
from tunesmith.evaluate.explain.shortcuts import candidates, looked_into, measured, named, questions, tried
from tunesmith.evaluate.explain.surrogate import surrogate
from tunesmith.evaluate.explain.words import names_in, with_first, without
from tunesmith.metrics.shortcut import Shortcut as ShortcutMetric
from tunesmith.records import Message, Prediction, Record
from tunesmith.report.evidence import Evidence
from tunesmith.report.render import templates
from tunesmith.report.views.rooms import explain as page
from tunesmith.runs import Run, write_json
from tunesmith.spec.load import parse
from tunesmith.spec.rooms.explain import Explain

WORDS = {"yes": "refund invoice charge payment".split(), "no": "parcel courier delivery tracking".split()}  # noqa: SIM905


def text_row(number: int, text: str, label: str) -> Record:
    return Record(f"r{number}", f"rows.jsonl:{number}", text=text, labels=(label,))


def rows_of(count: int, seed: int, *, mark: str = "", sure: float = 0.95) -> list[Record]:
    """Texts whose topic words say the label; a mark stands in most rows of `yes`."""
    draw, made = np.random.default_rng(seed), []
    for number in range(count):
        label = str(draw.choice(["yes", "no"]))
        words = [*draw.choice(WORDS[label], 2, replace=False), *draw.choice(["please", "my", "the", "again"], 2)]
        if mark and draw.random() < (sure if label == "yes" else 1 - sure):
            words.insert(int(draw.integers(5)), mark)
        made.append(text_row(number, " ".join(words), label))
    return made


def right(records: list[Record]) -> list[Prediction]:
    return [Prediction(record, record.labels[0], record.labels[0]) for record in records]


# Words ------------------------------------------------------------------------------------------------------------


def test_words_are_left_out_with_a_blank_beside_them() -> None:
    assert [word.text for word in pieces("It's 5€, Anna_B!")] == ["It's", "5", "€,", "Anna", "_", "B", "!"]
    record = text_row(0, "XYZZY the xyzzy, card xyzzy", "yes")
    assert names_in(record) == {"xyzzy", "the", ",", "card"}
    assert without(record, "xyzzy").text == "the, card"
    assert without(record, "card").text == "XYZZY the xyzzy, xyzzy"
    assert with_first(record, "plugh").text == "plugh XYZZY the xyzzy, card xyzzy"
    chat = Record("c", "", messages=(Message("user", "an xyzzy day"), Message("assistant", "yes xyzzy", True)))
    assert [turn.content for turn in without(chat, "xyzzy").messages] == ["an day", "yes xyzzy"]
    text = "a b c"
    for some in itertools.chain.from_iterable(itertools.combinations(pieces(text), size) for size in (1, 2, 3)):
        said, _ = edited(text, None, left_out(text, [(word.start, word.end) for word in some]))
        assert said.split() == [word for word in text.split() if word not in {each.text for each in some}]
        assert "  " not in said


def test_words_that_go_with_a_label_are_tried_first_and_rare_ones_never() -> None:
    records = rows_of(300, 0, mark="xyzzy")
    found = candidates(records[:150], records[150:], most=3)
    assert len(found) == 3 and next(iter(found)) == "xyzzy" and not {"please", "my"} & set(found)
    assert all("xyzzy" in names_in(records[row]) for row in found["xyzzy"])
    more = candidates(records[:150], records[150:], 3, named=["Please", "nowhere"])
    assert list(more) == [*found, "please"]
    assert not candidates(records[:5], records[150:], 3), "fewer than ten rows hold any word"
    assert len(candidates(rows_of(400, 1, mark="xyzzy"), records, 1)["xyzzy"]) == 100


def answers_of(asked: list, rows: list[Prediction], flips: dict, seed: int) -> list[str]:
    """Answers of a model that changes each answer with a chance of its own."""
    draw, said = np.random.default_rng(seed), []
    for each in asked:
        out, put_in = flips.get(each.word, flips[""])
        own = rows[each.row].output
        other = "no" if own == "yes" else "yes"
        said.append(other if draw.random() < (put_in if each.put_in else out) else own)
    return said


@cache
def asked_of(seed: int, mark: str) -> tuple:  # type: ignore[type-arg]
    """Rows that a model answers right, and how they are asked again."""
    rows = right(rows_of(200, seed, mark=mark))
    words = candidates([row.record for row in rows], rows_of(200, seed + 10_000, mark=mark), 9)
    return rows, words, questions(rows, words)[0]


def accused(flips: dict, seed: int, *, mark: str = "") -> list[str]:
    """Words that are named where each changes answers as often as `flips` says: word -> (left out, put in)."""
    rows, words, asked = asked_of(seed % 3, mark)
    said = answers_of(asked, rows, flips, seed)
    found = tried(rows, words, asked, said, hangs=0.5, turns=0.8, confidence=0.95)
    return [each.word for each in named(found, 0.95)]


SEEDS = range(100)


@pytest.mark.parametrize(
    "flips",
    [
        {"": (0.02, 0.05)},
        {"": (0.1, 0.1), "refund": (0.5, 0.8), "parcel": (0.5, 0.8)},  # strong words, at the border itself
        {"": (0.9, 0.95)},  # a model that any change of a row throws off hangs on no single word
    ],
    ids=["steady", "at the border", "fragile"],
)
def test_clean_models_are_accused_no_more_often_than_promised(flips: dict) -> None:
    """5% of models at the most are promised; of 100 more than 11 would be there in fewer than 1 of 200 cases."""
    assert sum(bool(accused(flips, seed)) for seed in SEEDS) <= 11


def test_a_planted_word_is_found_and_nothing_else() -> None:
    by_absence = [accused({"": (0.05, 0.1), "xyzzy": (0.8, 0.3)}, seed, mark="xyzzy") for seed in SEEDS]
    by_presence = [accused({"": (0.05, 0.1), "xyzzy": (0.3, 0.98)}, seed, mark="xyzzy") for seed in SEEDS]
    assert sum(found == ["xyzzy"] for found in by_absence) >= 95
    assert sum(found == ["xyzzy"] for found in by_presence) >= 90


def test_p_values_are_exact() -> None:
    rows = right([text_row(number, "a b c", "yes") for number in range(10)] + [text_row(10, "d", "no")])
    words = {"a": list(range(10)), "b": list(range(10)), "c": list(range(10))}
    asked = [each for each in questions(rows, words)[0] if not each.put_in]
    said = ["no" if each.word == "a" and each.row < 8 else "yes" for each in asked]
    found = {
        each.word: each.left_out for each in tried(rows, words, asked, said, hangs=0.5, turns=0.8, confidence=0.95)
    }
    assert found["a"].changed == Counted(8, 10) and found["a"].share.value == 0.8 and found["a"].others.value == 0.0
    at_least = sum(np.prod([10 - k for k in range(j)]) / np.prod(range(1, j + 1)) for j in range(3)) / 2**10
    # Of eight rows one change each, which falls on any of three words.
    assert found["a"].p_value == pytest.approx(6 * max(at_least, 3.0**-8))
    assert found["b"].p_value == 1.0


def test_what_stands_beside_a_word_is_looked_into() -> None:
    """A shortcut where the other words say the label too; perhaps the reason where they do not."""
    test, train = rows_of(200, 0, mark="xyzzy"), rows_of(200, 1, mark="xyzzy")
    wrong = [replace(row, output="yes") if "xyzzy" in names_in(row.record) else row for row in right(test)]
    ok = [row for row in wrong if row.output == row.expected]
    words = candidates([row.record for row in ok], train, 5)
    asked, _ = questions(ok, words)
    found = tried(ok, words, asked, ["no"] * len(asked), hangs=0.5, turns=0.8, confidence=0.95)
    (each,) = [each for each in found if each.word == "xyzzy"]
    looked = looked_into(each, ok, wrong, train, confidence=0.95, seed=0)
    assert (
        looked.tells
        and looked.told.rows > 50
        and looked.told.hits > 0.9 * looked.told.rows
        and 0.3 < looked.chance < 0.7
    )
    held = sum("xyzzy" in names_in(record) and record.labels == ("no",) for record in test)
    assert looked.misled == Counted(held, held) and held > 0

    def bare(records: list[Record]) -> list[Record]:
        return [replace(row, text="xyzzy my the" if "xyzzy" in names_in(row) else "my the") for row in records]

    # Most rows are `yes`, and so is every guess of a count that has nothing to go by: right by chance alone.
    alone, taught = right(bare(test)), [row for row in bare(train) if row.labels == ("yes",) or int(row.id[1:]) % 2]
    blind = looked_into(each, alone, alone, taught, confidence=0.95, seed=0)
    assert not blind.tells and blind.told.hits > 0.9 * blind.told.rows > 45 and blind.chance > 0.9


def test_the_metric_is_the_largest_share_of_a_word() -> None:
    rows = right(rows_of(60, 0, mark="Xyzzy"))
    words = candidates([row.record for row in rows], [row.record for row in rows], 4)
    asked, _ = questions(rows, words)
    said = answers_of(asked, rows, {"": (0.1, 0.0), "xyzzy": (0.7, 1.0)}, 0)
    kept = measured(rows, words, asked, said)
    found = {each.word: each for each in tried(rows, words, asked, said, hangs=0.5, turns=0.8, confidence=0.95)}[
        "xyzzy"
    ]
    metric = ShortcutMetric()
    statistics = metric.statistics(kept)
    assert metric.whole(statistics) == found.left_out.share.value
    limits = metric.interval(statistics, np.empty(0), 0.95)
    assert limits is not None and found.left_out.share.interval is not None
    assert limits[0] < found.left_out.share.interval[0] < metric.whole(statistics) < limits[1], (
        "corrected for all words"
    )
    assert ShortcutMetric(word="XYZZY").whole(ShortcutMetric(word="XYZZY").statistics(kept)) == metric.whole(statistics)
    assert ShortcutMetric(by="put_in").score(kept).value == found.put_in.share.value == 1.0
    assert np.isnan(ShortcutMetric(min_rows=200).score(kept).value)
    assert np.isnan(ShortcutMetric(word="nowhere").score(kept).value)
    assert metric.score(kept).num_rows == sum(any(name.startswith("without.") for name in row.measured) for row in kept)


def test_decorrelated_words_say_nothing_of_the_label() -> None:
    records = [replace(row, text=f"{row.text} {row.id}") for row in rows_of(200, 0, mark="xyzzy")]

    def made(step: DecorrelateWords) -> list[Record]:
        return [new for outcome in step.apply(records, Room()) for new in outcome.made]

    every = [*records, *made(DecorrelateWords(words=("XYZZY",)))]
    assert len(every) == 400
    for label in ("yes", "no"):
        held = ["xyzzy" in (row.text or "").casefold().split() for row in every if row.labels == (label,)]
        assert np.mean(held) == 0.5
    only_out = made(DecorrelateWords(words=("xyzzy", "please"), put_in=False))
    assert only_out and not any({"xyzzy", "please"} & names_in(row) for row in only_out)
    assert len(made(DecorrelateWords(words=("xyzzy",), share="10%"))) == 20  # type: ignore[arg-type]


# States -----------------------------------------------------------------------------------------------------------


def test_a_probe_reads_what_a_layer_holds_and_its_control_reads_nothing() -> None:
    draw = np.random.default_rng(0)
    values = [str(value) for value in draw.choice(["warm", "cold"], 200)] + ["rare", ""]
    noise = draw.normal(size=(2, 202, 8)).astype(np.float32)
    noise[1, :, 3] += [4.0 * (value == "warm") for value in values]
    found = probe("label", values, noise, [0, 2], confidence=0.95, seed=0)
    assert found is not None and (found.rows, found.values) == (200, 2) and 0.5 <= found.base < 0.6
    first, last = found.layers
    assert (first.layer, last.layer) == (0, 2) and found.best is last
    assert last.accuracy.value is not None and last.accuracy.value > 0.9
    assert first.accuracy.interval is not None and (first.accuracy.interval[0] or 0) < found.base
    assert last.control.value is not None and last.control.value < 0.65
    assert probe("label", ["warm"] * 195 + ["cold"] * 7, noise, [0, 2], confidence=0.95, seed=0) is None
    assert layers_of(2) == [0, 1, 2] and layers_of(32) == [0, 4, 8, 12, 16, 20, 24, 28, 32]


def test_a_surrogate_says_its_fidelity_and_is_silent_where_it_is_low() -> None:
    def told(records: list[Record], seed: int = -1) -> list[tuple[str, str]]:
        draw = np.random.default_rng(max(seed, 0))
        answers = [row.labels[0] if seed < 0 else str(draw.choice(["yes", "no"])) for row in records]
        return [(row.text or "", answer) for row, answer in zip(records, answers, strict=True)]

    train, test = rows_of(200, 0), rows_of(100, 1)
    good = surrogate(told(train), told(test), confidence=0.95, seed=0)
    assert good is not None and good.fidelity.value == 1.0 and good.means_something and good.fitted == 200
    assert {word for word, _ in good.words["yes"][:4]} == set(WORDS["yes"])
    assert {word for word, _ in good.words["no"][:4]} == set(WORDS["no"])
    bad = surrogate(told(train, 0), told(test, 1), confidence=0.95, seed=0)
    assert bad is not None and not bad.means_something and bad.words == {}
    assert surrogate([("a", "yes"), ("b", "yes")], told(test), confidence=0.95, seed=0) is None


def test_nearest_rows_are_by_direction_and_doubt_a_label() -> None:
    draw = np.random.default_rng(0)
    train = rows_of(60, 0)
    points = np.array([[3.0, 0] if row.labels == ("yes",) else [0, 3.0] for row in train])
    train_states = (points + draw.normal(scale=0.1, size=points.shape) + 100).astype(np.float32)
    test = [*right(rows_of(20, 1)), Prediction(text_row(99, "refund", "no"), "yes", "no")]
    at = np.array([[3.0, 0] if row.output == "yes" else [0, 3.0] for row in test])
    found = neighbours((at + 100).astype(np.float32), train_states, train)
    assert all(near[0].label == row.output and near[0].similarity > 0.9 for near, row in zip(found, test, strict=True))
    assert [near.similarity for near in found[0]] == sorted((near.similarity for near in found[0]), reverse=True)
    both = neighbours((at + 100).astype(np.float32), train_states[:5], train[:5])[0]
    assert {near.label for near in both} == {"yes", "no"} and both[-1].similarity < 0, "what all have in common is off"
    told = nearest(test, found, train, confidence=0.95)
    assert told is not None and told.same.value == 1.0 and told.count == 60 and 0.3 < told.base < 0.7
    assert [(each.id, each.expected, each.label) for each in told.doubted] == [("r99", "no", "yes")]
    plain = [replace(record, labels=()) for record in train]
    assert nearest(test, found, plain, confidence=0.95) is None


def test_rows_to_explain_are_half_wrong_ones_and_ranks_share_ties() -> None:
    rows = right(rows_of(10, 0))
    wrong = [replace(row, output="other") for row in rows[:6]]
    assert [row.output == row.expected for row in choose([*wrong, *rows[6:]], 6)] == [False] * 3 + [True] * 3
    assert [row.output == row.expected for row in choose([*wrong, rows[6]], 6)] == [False] * 5 + [True]
    assert not choose([replace(rows[0], record=text_row(0, "refund", "yes"))], 6)
    values = (np.array([1.0, 2, 2, 4]), np.array([10.0, 9, 30, 30]))
    assert rank_correlation(*values) == pytest.approx(0.5 / np.sqrt(0.9 * 0.9) * 1.0, abs=0.3)
    assert rank_correlation(values[0], values[0] ** 3) == pytest.approx(1.0)
    assert rank_correlation(np.ones(4), values[0]) is None and rank_correlation(values[0][:2], values[1][:2]) is None


# The section and the page -----------------------------------------------------------------------------------------


def test_shares_of_the_section_are_shares() -> None:
    assert Explain(hangs="40%").hangs.value == 0.4  # type: ignore[arg-type]
    for wrong in ({"hangs": "0%"}, {"turns": "100%"}, {"rows": 1}, {"train_rows": 1}, {"shown": -1}, {"words": 0}):
        with pytest.raises(ValidationError):
            Explain(**wrong)  # type: ignore[arg-type]


def explanation(word: str = "xyzzy", *, tells: bool = True) -> Explanation:
    share = Estimate(0.82, (0.7, 0.9), 50)
    out = Without(Counted(41, 50), share, Estimate(0.02, (0.0, 0.1), 100), 0.0001)
    each = Tried(word, "yes", out, Without(Counted(0, 0), Estimate(None, None, 0), Estimate(None, None, 0), 1.0))
    near = [Neighbour("t1", "a <b>training</b> row", "yes", 0.91)]
    row = Explained(
        *("r1", "my <i>xyzzy</i>", "yes", "no", "", 2.0, 1.9, 0.01, 32),
        [Token("my", -0.5), Token(" <i>xyzzy</i>", 2.4)],
        [Effect("my", -0.5, -0.4), Effect(word, 2.4, 2.2)],
        *(0.8, [[0.2, 0.8], [0.5, 0.5]], near),
    )
    layer = Layer(1, Estimate(0.9, (0.8, 0.95), 100), Estimate(0.5, (0.4, 0.6), 100))
    return Explanation(
        rows=100,
        confidence=0.95,
        shortcuts=Shortcuts(0.5, 0.8, 90, 400, [each], [Shortcut(each, Counted(40, 50), 0.5, tells, Counted(2, 3))]),
        explained=[row],
        sanity=Sanity(1, 0.01, 0, Estimate(0.8, (0.6, 0.9), 6), Estimate(0.0, (-0.2, 0.2), 6)),
        probes=[Probe("label", 2, 100, 0.5, [layer])],
        surrogate=Surrogate(200, Estimate(0.55, (0.45, 0.65), 100), 0.5, {}),
        nearest=Nearest(
            200, 5, Estimate(0.9, (0.8, 0.95), 100), 0.5, [Doubted("r2", "text", "no", "yes", "yes", near)]
        ),
        notes=["Something was left out."],
    )


def rendered(run: Run, found: Explanation) -> str:
    (run / "evaluation").mkdir(parents=True, exist_ok=True)
    write_json(run / "evaluation" / "explain.json", found.to_json())
    section = page.view(Evidence(run))
    assert section is not None
    return templates().get_template("sections/rooms/explain.html.j2").render(section=section)


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    run = Run(tmp_path / "demo" / "1")
    assert page.view(Evidence(run)) is None
    html = rendered(run, explanation())
    assert "hangs on “xyzzy”: without it 41 of 50 right answers change" in html and "a shortcut." in html
    assert "{kind: decorrelate_words, words: [&#34;xyzzy&#34;]}" in html
    assert '<span class="against s2" title="−0.500">my</span>' in html and "&lt;i&gt;xyzzy&lt;/i&gt;</span>" in html
    assert "layer 2, my: 50.0%" in html and "That is too low to mean anything" in html
    assert "Layer 1 says most: 90% (80% to 95%), 50% for labels dealt out anew, 50% by the commonest." in html
    assert "they hang on what the model has learned" in html and "Something was left out." in html
    assert "<b>training</b>" not in html and "&lt;b&gt;training&lt;/b&gt; row" in html
    assert "their own may be wrong" in html


def test_what_is_not_sure_is_not_said(tmp_path: Path) -> None:
    found = explanation("<script>", tells=False)
    html = rendered(Run(tmp_path / "demo" / "1"), found)
    assert "it may well be the reason" in html and "decorrelate_words" not in html and "<script>" not in html
    assert found.shortcuts is not None and found.sanity is not None
    clean = replace(found, shortcuts=replace(found.shortcuts, named=[]))
    assert page.says(clean).startswith("No answers surely hang on a single word: of 1 word")
    nothing = replace(found, shortcuts=replace(found.shortcuts, named=[], words=[]))
    assert page.says(nothing).startswith("Too small to tell")
    assert page.lines(clean) and page.lines(None) == []
    doubtful = replace(found, sanity=replace(found.sanity, shuffled=Estimate(0.9, (0.8, 1.0), 6)))
    assert "do not lean on them" in page.says(doubtful)
    unsure = replace(found.sanity, shuffled=Estimate(0.4, (-0.2, 0.9), 6))
    assert unsure.passed is None and found.sanity.passed is True
    assert Explanation.from_json(found.to_json()) == found


def test_the_specs_on_the_page_can_be_written() -> None:
    text = (Path(__file__).parents[2] / "docs" / "explain.md").read_text("utf-8")
    asked, helps = (block.partition("```")[0] for block in text.split("```yaml\n")[1:])
    spec, _ = parse(f"name: shown\n{asked}data: {{sources: [rows.jsonl]}}\n")
    assert spec.evaluate.explain is not None and spec.evaluate.explain.probes == ["channel"]
    assert [target.metric.name for target in spec.goal.targets] == ["shortcut", "shortcut(by=put_in, word=urgent)"]  # type: ignore[attr-defined]
    steps = parse("name: shown\n" + helps.replace("data:\n", "data:\n  sources: [rows.jsonl]\n"))[0].data.steps
    assert steps is not None and steps[-1] == DecorrelateWords(words=("urgent",))
