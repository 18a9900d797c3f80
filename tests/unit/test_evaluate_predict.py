"""Predictions of tiny real models in every manner, and what becomes of them on disk."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tunesmith.data.encode.tokenize import Codec
from tunesmith.errors import DataError
from tunesmith.evaluate.predict import majority, manner, predict, provides
from tunesmith.evaluate.predict.stored import read_predictions, write_predictions
from tunesmith.evaluate.predict.validate import validation_metrics
from tunesmith.metrics import Metric
from tunesmith.metrics.exact_match import ExactMatch
from tunesmith.models.inference.generate import Answer
from tunesmith.models.load import Model, open_model
from tunesmith.part import METRICS
from tunesmith.records import Message, Prediction, Record, Span
from tunesmith.testing.tiny import tiny_model

torch.set_num_threads(1)

LABELS = ("billing", "delivery", "other")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def lm(folder: Path) -> Model:
    return open_model(str(folder), workspace=folder)


def codec(model: Model, need: str, **settings: object) -> Codec:
    given = {"max_length": 64, "too_long": "truncate", **settings}
    return Codec(model.tokenizer, need=need, family=model.family, **given)  # type: ignore[arg-type]


def asked(number: int, question: str, *turns: str, labels: tuple[str, ...] = ()) -> Record:
    """A conversation of a question, an answer, and perhaps more of both."""
    messages = [Message("user", question)]
    for place, turn in enumerate(turns):
        messages.append(Message("assistant" if place % 2 == 0 else "user", turn, trained=place % 2 == 0))
    return Record(f"r{number}", f"rows.jsonl:{number}", messages=tuple(messages), labels=labels)


QUESTIONS = [
    asked(1, "Where is my card?", "delivery", labels=("delivery",)),
    asked(2, "The invoice of last month shows the wrong amount.", "billing", labels=("billing",)),
    asked(3, "Hm.", "other", labels=("other",)),
]


def tokens_nll(model: Model, ids: list[int], trained: list[bool]) -> float:
    """The plain computation: log-softmax of every position, summed over trained targets."""
    with torch.no_grad():
        logits_TV = model.module(input_ids=torch.tensor([ids])).logits[0].double()
    likely_TV = logits_TV.log_softmax(-1)
    return -sum(float(likely_TV[at - 1, ids[at]]) for at in range(1, len(ids)) if trained[at])


# How rows are asked


def test_the_manner_follows_from_head_and_task() -> None:
    assert manner("lm", task="classify", objective="sft", multi_label=False) == "choose"
    assert manner("lm", task="classify", objective="sft", multi_label=True) == "generate"
    assert manner("lm", task="summarize", objective="sft", multi_label=False) == "generate"
    assert manner("lm", task="classify", objective="pretrain", multi_label=False) == "prose"
    assert manner("classify", task="classify", objective="classify", multi_label=True) == "classify"
    assert manner("tag", task="extract", objective="tag", multi_label=False) == "tag"


def test_written_labels_count_as_labels_only_where_they_are_the_task() -> None:
    assert "label" in provides("generate", "classify")
    assert "label" not in provides("generate", "summarize")


# An lm head


def test_generate_answers_and_measures_the_right_answer(lm: Model) -> None:
    coder = codec(lm, "chat")
    seen: list[tuple[int, int]] = []
    rows = predict(
        lm, coder, QUESTIONS, manner="generate", max_new_tokens=5, batch=2, after=lambda *at: seen.append(at)
    )
    assert [row.record.id for row in rows] == ["r1", "r2", "r3"]
    assert [row.expected for row in rows] == ["delivery", "billing", "other"]
    assert all(row.seconds == 0 for row in rows)
    assert seen[-1] == (6, 6)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    for row in rows:
        (example,) = coder.encode(row.record)
        wanted = tokens_nll(lm, example.ids.tolist(), example.trained.tolist())
        assert row.nll == pytest.approx(wanted, rel=1e-4)
        assert row.num_tokens == int(example.trained.sum())
        assert row.num_chars == len(row.expected)


def test_the_nll_counts_every_trained_turn(lm: Model) -> None:
    record = asked(1, "What is 12 plus 30?", "42", "Thank you.", "other")
    coder = codec(lm, "chat")
    (example,) = coder.encode(record)
    (row,) = predict(lm, coder, [record], manner="generate", max_new_tokens=2)
    assert row.nll == pytest.approx(tokens_nll(lm, example.ids.tolist(), example.trained.tolist()), rel=1e-4)
    assert (row.num_tokens, row.num_chars) == (int(example.trained.sum()), len("42" + "other"))
    assert row.expected == "other"


def test_generate_leaves_out_what_is_not_asked_for(lm: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("not needed")

    monkeypatch.setattr("tunesmith.models.inference.score.score", refuse)
    assert all(row.nll is None for row in predict(lm, codec(lm, "chat"), QUESTIONS, manner="generate", nll=False))
    monkeypatch.undo()
    monkeypatch.setattr("tunesmith.models.inference.generate.generate", refuse)
    rows = predict(lm, codec(lm, "chat"), QUESTIONS, manner="generate", text=False)
    assert all(row.output == "" and row.nll is not None for row in rows)


def test_a_labelled_row_that_is_answered_in_json_is_right_when_all_of_it_is(
    lm: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = '{"label": "PlayMusic", "artist": "Patterson"}'
    messages = (Message("user", "Play Patterson"), Message("assistant", answer, trained=True))
    record = Record(
        "r", "s:1", messages=messages, text="Play Patterson", labels=("PlayMusic",), spans=(Span(5, 14, "artist"),)
    )
    said = [
        Answer(text, tokens=(7,) * 9, finished=True, seconds=0.1)
        for text in ('{"artist": "Patterson", "label": "PlayMusic"}', "PlayMusic")
    ]
    monkeypatch.setattr("tunesmith.models.inference.generate.generate", lambda *_, **__: said)
    rows = predict(lm, codec(lm, "chat"), [record, record], manner="generate", nll=False, alone=0)
    assert ExactMatch().for_task("extract").scores(rows) == [1.0, 0.0]
    assert [row.expected for row in predict(lm, codec(lm, "chat"), [record], manner="generate", text=False)] == [answer]


def test_choose_gives_the_models_own_probabilities(lm: Model) -> None:
    coder = codec(lm, "chat")
    rows = predict(lm, coder, QUESTIONS, manner="choose", labels=LABELS, batch=2)
    for row in rows:
        nll = {}
        for label in LABELS:
            turns = (*row.record.messages[:-1], Message("assistant", label, trained=True))
            (example,) = coder.encode(Record("x", "x", messages=turns))
            nll[label] = tokens_nll(lm, example.ids.tolist(), example.trained.tolist())
        total = sum(math.exp(-value) for value in nll.values())
        assert row.scores == pytest.approx({label: math.exp(-value) / total for label, value in nll.items()}, rel=1e-3)
        assert row.output == min(nll, key=lambda label: nll[label])
        assert row.nll == pytest.approx(nll[row.expected], rel=1e-4)
        assert row.num_tokens == int(coder.encode(row.record)[0].trained.sum())


def test_choose_counts_the_stop_token_so_that_a_prefix_wins_nothing(lm: Model) -> None:
    rows = predict(lm, codec(lm, "chat"), QUESTIONS, manner="choose", labels=("no", "not now"))
    for row in rows:
        assert sum(row.scores.values()) == pytest.approx(1)
        assert row.nll is None  # the right label is not among those to choose from
        assert row.expected in LABELS


def test_prose_measures_all_pieces_of_a_long_text(lm: Model) -> None:
    text = "The invoice of last month shows the wrong amount, please refund it. " * 6
    record = Record("p", "prose.txt:1", text=text)
    coder = codec(lm, "text", max_length=32)
    examples = coder.encode(record)
    assert len(examples) > 2
    (row,) = predict(lm, coder, [record], manner="prose")
    wanted = sum(tokens_nll(lm, example.ids.tolist(), example.trained.tolist()) for example in examples)
    assert row.nll == pytest.approx(wanted, rel=1e-4)
    assert row.num_tokens == sum(int(example.trained.sum()) for example in examples)
    assert 0 < row.num_chars <= len(text)
    assert row.output == ""


def test_encoder_decoders_are_asked_too(tmp_path: Path) -> None:
    model = open_model(str(tiny_model(tmp_path / "t5", "t5")), workspace=tmp_path)
    rows = predict(model, codec(model, "chat"), QUESTIONS, manner="generate", max_new_tokens=3)
    assert all(row.nll is not None and row.nll > 0 for row in rows)


# Heads of our own


def test_classify_gives_every_label_its_probability(folder: Path) -> None:
    model = open_model(str(folder), workspace=folder, head="classify", labels=LABELS)
    records = [Record("a", "a", text="Where is my card?", labels=("other",)), Record("b", "b", text="x", labels=("?",))]
    seen: list[tuple[int, int]] = []
    rows = predict(
        model, codec(model, "label", labels=LABELS), records, manner="classify", after=lambda *at: seen.append(at)
    )
    for row in rows:
        assert sum(row.scores.values()) == pytest.approx(1)
        assert row.output == max(row.scores, key=lambda label: row.scores[label])
    assert rows[0].nll == pytest.approx(-math.log(rows[0].scores["other"]))
    # A label the model was never told of is answered all the same, and wrongly.
    assert rows[1].output in LABELS
    assert (rows[1].expected, rows[1].nll) == ("?", None)
    assert seen[-1] == (2, 2)


def test_classify_gives_all_likely_labels_where_rows_have_several(folder: Path) -> None:
    model = open_model(str(folder), workspace=folder, head="classify", labels=LABELS, multi_label=True)
    records = [Record(str(at), "s", text=f"Card {at}?", labels=LABELS[: at % 3 + 1]) for at in range(8)]
    rows = predict(model, codec(model, "label", labels=LABELS, multi_label=True), records, manner="classify", batch=3)
    for row in rows:
        assert row.output == ", ".join(label for label in LABELS if row.scores[label] >= 0.5)
        parts = [row.scores[label] if label in row.record.labels else 1 - row.scores[label] for label in LABELS]
        assert row.nll == pytest.approx(-sum(math.log(part) for part in parts))
    assert rows[1].expected == "billing, delivery"


def test_a_row_the_codec_leaves_out_is_unanswered_and_wrong(folder: Path) -> None:
    model = open_model(str(folder), workspace=folder, head="classify", labels=LABELS)
    long = Record("long", "s", text="card " * 100, labels=("other",))
    records = [Record("a", "s", text="a", labels=("other",)), long, Record("b", "s", text="b", labels=("other",))]
    rows = predict(model, codec(model, "label", labels=LABELS, too_long="drop"), records, manner="classify")
    assert [row.output == "" for row in rows] == [False, True, False]
    accuracy = METRICS.make("accuracy")
    assert isinstance(accuracy, Metric)
    assert accuracy.score(rows).per_row[1] == 0


def test_tag_spells_spans(folder: Path) -> None:
    text = "Anna Schmidt of Berlin"
    record = Record("t", "s", text=text, spans=(Span(0, 12, "PER"), Span(16, 22, "LOC")))
    plain = open_model(str(folder), workspace=folder)
    coder = codec(plain, "spans", labels=("LOC", "PER"))
    model = open_model(str(folder), workspace=folder, head="tag", labels=coder.tag_names)
    (row, unknown) = predict(
        model, coder, [record, Record("u", "s", text=text, spans=(Span(0, 4, "?"),))], manner="tag"
    )
    assert row.expected == "PER: Anna Schmidt; LOC: Berlin"
    assert row.spans == unknown.spans
    assert row.spans is not None
    assert row.output == "; ".join(f"{span.label}: {text[span.start : span.end]}" for span in row.spans)


def test_no_rows_are_no_trouble(lm: Model) -> None:
    for how, need in (("generate", "chat"), ("prose", "text")):
        assert predict(lm, codec(lm, need), [], manner=how, alone=3) == []  # type: ignore[arg-type]


# Time


def test_only_rows_timed_alone_carry_seconds(lm: Model) -> None:
    records = [asked(at, f"Number {at}?", "other") for at in range(9)]
    rows = predict(lm, codec(lm, "chat"), records, manner="generate", max_new_tokens=2, nll=False, alone=3)
    assert [row.seconds > 0 for row in rows] == [True, *[False] * 3, True, *[False] * 3, True]


def test_timing_asks_one_row_at_a_time(lm: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.models.inference import generate as module

    sizes: list[int] = []
    real = module.generate

    def counted(model: Model, prompts: list[list[int]], **settings: object) -> object:
        sizes.append(len(prompts))
        return real(model, prompts, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "generate", counted)
    predict(lm, codec(lm, "chat"), QUESTIONS, manner="generate", max_new_tokens=2, nll=False, alone=9)
    assert sizes == [3, 1, 1, 1, 1]  # all, one to warm up, then each


# The arm without a model


def test_majority_gives_the_commonest_label() -> None:
    train = [Record(str(at), "s", text="t", labels=(label,)) for at, label in enumerate("bbaac")]
    rows = majority(train, [Record("x", "s", text="t", labels=("c",))])
    assert [(row.output, row.expected) for row in rows] == [("a", "c")]  # of equals the first by name


def test_majority_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="no labels"):
        majority([Record("x", "s", text="t")], [])


# In the middle of training


def test_validation_measures_what_is_asked(lm: Model) -> None:
    metrics = [METRICS.make("accuracy"), METRICS.make("perplexity")]
    rows = predict(lm, codec(lm, "chat"), QUESTIONS, manner="choose", labels=LABELS)
    figures = validation_metrics(lm, codec(lm, "chat"), QUESTIONS, metrics, manner="choose", labels=LABELS)  # type: ignore[arg-type]
    assert figures["accuracy"] == pytest.approx(np.mean([row.output == row.expected for row in rows]))
    assert set(figures) == {"accuracy", "perplexity"}


def test_validation_generates_only_for_metrics_that_read_text(lm: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("not needed")

    monkeypatch.setattr("tunesmith.models.inference.generate.generate", refuse)
    metrics = [METRICS.make("perplexity")]
    figures = validation_metrics(lm, codec(lm, "chat"), QUESTIONS, metrics, manner="generate")  # type: ignore[arg-type]
    assert figures["perplexity"] > 1


def test_validation_leaves_out_what_has_no_value(lm: Model) -> None:
    metrics = [METRICS.make("perplexity")]
    assert validation_metrics(lm, codec(lm, "chat"), [], metrics, manner="generate") == {}  # type: ignore[arg-type]


# On disk


def test_predictions_survive_the_disk(tmp_path: Path) -> None:
    spans = (Span(0, 3, "PER"),)
    rows = [
        Prediction(
            QUESTIONS[0], "delivery", "delivery", scores={"delivery": 0.7, "billing": 0.3}, nll=0.25, num_tokens=2
        ),
        Prediction(Record("t", "s:1", text="Ada", spans=spans, slices={"channel": "email"}), "", "", spans=()),
        Prediction(Record("u", "s:2", text="Ada", references=("b",)), "x", "y", spans=spans, num_chars=4, seconds=0.5),
    ]
    path = tmp_path / "evaluation" / "predictions-tuned.parquet"
    write_predictions(path, rows)
    assert read_predictions(path) == rows
    write_predictions(path, [])
    assert read_predictions(path) == []


def test_text_that_utf8_cannot_hold_is_written_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write_predictions(path, [Prediction(Record("a", "s", text="half \ud83d"), "half \ud83d", "b")])
    (row,) = read_predictions(path)
    assert row.record.text == "half \ud83d"
    assert row.output == "half ?"
