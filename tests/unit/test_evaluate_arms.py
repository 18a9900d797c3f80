"""Arms: what each asks whom, what it learns from, and what it never sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tunesmith.errors import DataError, UserError
from tunesmith.evaluate.arms import Arm
from tunesmith.evaluate.arms.chain_of_thought import ENDING, ChainOfThought
from tunesmith.evaluate.arms.few_shot import FewShot
from tunesmith.evaluate.arms.linear import STRENGTHS, Linear
from tunesmith.evaluate.arms.prompt import Prompt
from tunesmith.evaluate.predict.reading import final_answer, read_label
from tunesmith.evaluate.statistics.drawn import drawn
from tunesmith.metrics import Metric
from tunesmith.part import ARMS, METRICS
from tunesmith.prompts.examples import selection
from tunesmith.prompts.template import render
from tunesmith.records import Message, Record
from tunesmith.testing.answering import LABELS, RuleBench


def bench() -> RuleBench:
    return RuleBench()


# Linear


def test_the_linear_arm_is_tf_idf_with_a_logistic_regression() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    table = bench()
    table.validation = []
    made = Linear().answer(table)
    counts = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]")
    plain = make_pipeline(counts, LogisticRegression(C=STRENGTHS[1], max_iter=1000, tol=1e-3))
    plain.fit([row.text for row in table.train], [row.labels[0] for row in table.train])
    wanted = plain.predict_proba([row.text for row in table.rows])
    assert list(made[0].scores) == sorted(LABELS)
    assert np.array([list(row.scores.values()) for row in made]) == pytest.approx(wanted, abs=1e-6)
    assert [row.output for row in made] == [row.expected for row in made]


def test_its_strength_is_chosen_on_validation_rows_and_noted() -> None:
    """Noise, where strengths differ: the one chosen does best on validation rows by scikit-learn's own account."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    random = np.random.default_rng(0)
    words = [f"w{number}" for number in range(60)]

    def noisy(name: str, count: int) -> list[Record]:
        rows = []
        for number in range(count):
            label = LABELS[number % 2]
            said = [*random.choice(words, 12), *(["yes"] if (label == LABELS[0]) == (random.random() < 0.75) else [])]
            rows.append(Record(f"{name}:{number}", "s", text=" ".join(said), labels=(label,)))
        return rows

    def right(strength: float) -> float:
        counts = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]")
        plain = make_pipeline(counts, LogisticRegression(C=strength, max_iter=1000, tol=1e-3))
        plain.fit([row.text for row in table.train], [row.labels[0] for row in table.train])
        return float(plain.score([row.text for row in table.validation], [row.labels[0] for row in table.validation]))

    chosen = set()
    for _ in range(4):
        table = bench()
        table.train, table.validation = noisy("train", 60), noisy("validation", 200)
        Linear().answer(table)
        figures = {strength: right(strength) for strength in STRENGTHS}
        assert table.noted["inverse_regularisation"] == max(STRENGTHS, key=lambda each: (figures[each], -each))
        chosen.add(table.noted["inverse_regularisation"])
    assert len(chosen) > 1


def test_it_learns_from_so_many_rows_at_most() -> None:
    table = bench()
    table.train = [replace(row, id=f"{row.id}.{turn}") for turn in range(10) for row in table.train]
    Linear(max_rows=100).answer(table)
    assert table.noted["rows"] == 100


def test_rows_with_several_labels_are_given_all_that_are_likely() -> None:
    table = bench()
    table.train = [
        replace(row, text=f"{row.text} and urgent", labels=(*row.labels, "urgent")) for row in table.train
    ] + [replace(row, id=f"{row.id}b") for row in table.train]
    made = Linear().answer(table)
    assert [row.output for row in made] == [row.record.labels[0] for row in made]
    urgent = [replace(row, text=f"{row.text} and urgent") for row in table.rows]
    table.rows = urgent
    assert all(row.output == f"{row.record.labels[0]}, urgent" for row in Linear().answer(table))


def test_one_label_is_nothing_to_tell_apart() -> None:
    table = bench()
    table.train = [replace(row, labels=("bug",)) for row in table.train]
    with pytest.raises(DataError, match="fewer than two labels"):
        Linear().answer(table)


def test_its_answers_are_timed() -> None:
    made = Linear().answer(bench())
    assert sum(row.seconds > 0 for row in made) == 2


# Asking


def test_every_arm_asks_whom_it_says() -> None:
    for name in ARMS.names():
        part = ARMS.load(name)
        arm = part(model="run:other/1") if name == "model" else part()
        assert isinstance(arm, Arm)
        table = bench()
        arm.answer(table)
        wanted = {"base": {"base"}, "tuned": {"tuned"}, "model": {"run:other/1"}, "majority": set(), "linear": set()}
        assert {asked for asked, _ in table.asked} == wanted.get(name, {"base"})


@pytest.mark.parametrize("part", [Prompt, FewShot, ChainOfThought])
def test_others_than_the_base_can_be_asked(part: type[Prompt]) -> None:
    table = bench()
    part(model="https://here/v1#m", called="theirs").answer(table)
    assert {asked for asked, _ in table.asked} == {"https://here/v1#m"}
    assert part(called="theirs").title == "theirs"


def test_a_chain_of_thought_is_asked_to_reason_and_read_at_its_end() -> None:
    table = bench()
    ChainOfThought(max_new_tokens=99).answer(table)
    ((_, asking),) = table.asked
    assert asking is not None and asking.read is not None
    assert (asking.ending, asking.max_new_tokens) == (ENDING, 99)
    assert asking.read("a refund, so\nAnswer: billing") == "billing"
    assert table.noted == {"named_an_answer": 0, "rows": 12}
    other = bench()
    ChainOfThought(ending=" Think.").answer(other)
    assert other.asked[0][1].ending == " Think."  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("It is 4.\nAnswer: 4", "4"),
        ("answer: first\nanswer: **second**\nand more", "second"),
        ("Answer:\n\n  on the next line\n", "on the next line"),
        ("no mark\nthe last line ", "the last line"),
        ("", ""),
        ("Answer:", ""),
    ],
)
def test_the_answer_is_found(said: str, answer: str) -> None:
    assert final_answer(said) == answer


@pytest.mark.parametrize(
    ("said", "label"),
    [
        (" Card_Arrival.", "card arrival"),
        ("I think it is about: top-up failed!", "top up failed"),
        ("top up", "top up"),
        ("either bug or refund", "either bug or refund"),
        ("debugging", "debugging"),
        ("the bug of bugs", "bug"),
        ("", ""),
        ("top up failed, not top up", "top up failed, not top up"),
    ],
)
def test_a_label_is_read_where_exactly_one_is_named(said: str, label: str) -> None:
    assert read_label(said, ["bug", "refund", "top up", "top up failed", "card arrival", "?"]) == label


# Prompts


def test_the_prompt_that_does_best_on_validation_rows_is_reported() -> None:
    class Picky(RuleBench):
        def ask(self, model, rows, asking=None):  # type: ignore[no-untyped-def]
            made = super().ask(model, rows, asking)
            good = asking.template == "{{ text }}?" and asking.system == "Be right." and asking.temperature == 0.5
            return made if good else [replace(row, output="billing") for row in made]

    table = Picky()
    arm = Prompt(templates=["{{ text }}!", "{{ text }}?"], systems=["", "Be right."], temperatures=[0.0, 0.5], rows=6)
    made = arm.answer(table)
    assert [row.record.id for row in made] == [record.id for record in table.rows]
    assert all(row.output == row.expected for row in made)
    assert len(table.noted["variants"]) == 8 and table.noted["validation_rows"] == 6
    best = table.noted["variants"][table.noted["chosen"]]
    assert (best["template"], best["system"], best["temperature"], best["value"]) == (
        "{{ text }}?",
        "Be right.",
        0.5,
        1,
    )
    assert best["interval"][0] < 1
    # Test rows are asked once, by the chosen one.
    asked = [asking for _, asking in table.asked]
    assert len(asked) == 9


def test_all_wordings_of_the_task_are_tried_and_equals_go_to_the_first() -> None:
    table = bench()
    Prompt().answer(table)
    assert len(table.noted["variants"]) == 6 and table.noted["chosen"] == 0


def test_variants_need_rows_to_choose_by() -> None:
    table = bench()
    table.validation = []
    with pytest.raises(UserError, match="6 variants and no validation rows to choose by"):
        Prompt().answer(table)
    Prompt(templates=["{{ text }}"]).answer(table)
    assert len(table.asked) == 1 and table.noted == {}


def test_variants_need_a_metric_that_reads_answers() -> None:
    table = bench()
    timed = METRICS.make("latency_p50")
    assert isinstance(timed, Metric)
    table.metrics = [timed]
    with pytest.raises(UserError, match="no metric of the answers to choose by"):
        Prompt().answer(table)


def test_temperatures_that_would_change_nothing_are_refused() -> None:
    class Chooses(RuleBench):
        def writes(self, model: str) -> bool:
            return False

    with pytest.raises(UserError, match="chosen by their likelihood"):
        Prompt(temperatures=[0.0, 0.7]).answer(Chooses())
    Prompt(temperatures=[0.0]).answer(Chooses())


# Examples


def test_the_most_similar_rows_are_shown_the_nearest_last() -> None:
    rows = [Record(str(place), "s", text=text, labels=("x",)) for place, text in enumerate(
        ["the cat sat on the mat", "a dog barked", "the cat sat", "stocks fell sharply today"]
    )]  # fmt: skip
    near = selection("similar", rows, 2, 0)
    assert [row.id for row in near(Record("q", "s", text="the cat sat down"))] == ["0", "2"]
    assert near(rows[0])[-1].id == "2" and rows[0] not in near(rows[0])


def test_diverse_rows_differ_more_than_drawn_ones() -> None:
    table = bench()
    rows = [*table.train, Record("odd", "s", text="zebra", labels=("bug",))]
    assert "odd" in [row.id for row in selection("diverse", rows, 4, 0)(table.rows[0])]
    spread = selection("diverse", rows, 3, 0)(table.rows[0])
    assert len({row.text.rsplit(" ", 1)[0] for row in spread}) == 3  # type: ignore[union-attr]


def test_another_seed_draws_other_examples() -> None:
    table = bench()
    drawn_, other = ([row.id for row in selection("random", table.train, 4, seed)(table.rows[0])] for seed in (0, 1))
    assert len(drawn_) == 4 and drawn_ != other


def test_few_shot_shows_as_many_as_it_says() -> None:
    for choose in ("random", "similar", "diverse"):
        table = bench()
        FewShot(examples=5, choose=choose, seed=3).answer(table)  # type: ignore[arg-type]
        shots = table.asked[0][1].shots  # type: ignore[union-attr]
        assert shots is not None and len(shots(table.rows[0])) == 5


def test_shots_and_ending_stand_where_they_should() -> None:
    shots = [Record("1", "s", text="first", labels=("bug",)), Record("2", "s", text="second", labels=("refund",))]
    row = Record("q", "s", text="third", labels=("bug",))
    (made,) = render([row], "{{ text }}", None, "classify", LABELS, examples=lambda record: shots[::-1], ending=" END")
    assert [turn.content for turn in made.messages] == ["second", "refund", "first", "bug", "third END", "bug"]
    assert [turn.trained for turn in made.messages] == [False] * 5 + [True]
    (own,) = render([shots[0]], "{{ text }}", None, "classify", LABELS, examples=lambda record: shots)
    assert [turn.content for turn in own.messages] == ["second", "refund", "first", "bug"]
    talk = Record("t", "s", messages=(Message("user", "hi"), Message("assistant", "ho", trained=True)))
    (asked,) = render([talk], None, None, "chat", (), ending=" END")
    assert [turn.content for turn in asked.messages] == ["hi END", "ho"]


def test_rows_are_drawn_in_their_order() -> None:
    rows = bench().rows
    some = drawn(rows, 5, 7)
    assert len(some) == 5 and [row for row in rows if row in some] == list(some)
    assert drawn(rows, None, 0) is rows and drawn(rows, 99, 0) is rows
    assert drawn(rows, 5, 8) != some
