"""Suites: reading folders, scoring as lm-evaluation-harness does, and going on where one was stopped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.errors import DataError, MissingDependency, ModelError, NotFound
from tunesmith.evaluate.suites.ask import Answer, ask
from tunesmith.evaluate.suites.measure import measure, right_choices, scores
from tunesmith.evaluate.suites.suite import read_suite
from tunesmith.flow.evaluation.kept import ask_kept
from tunesmith.models.load import Model, open_model
from tunesmith.spec.sections import ABILITIES
from tunesmith.testing.tiny import tiny_model

ROWS = [
    {"question": "My card has", "choices": ["not arrived", "a password", "expired"], "answer": 0},
    {"question": "The invoice", "choices": ["of last month", "link"], "answer": "link"},
    {"question": "Anna Schmidt of", "choices": ["Berlin", "New York", "the office", "May"], "answer": 3},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("suites")
    return open_model(str(tiny_model(folder / "tiny")), workspace=folder)


def folder(
    path: Path, rows: list[dict[str, Any]], settings: str = "", shots: list[dict[str, Any]] | None = None
) -> Path:
    path.mkdir(exist_ok=True)
    (path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if settings:
        (path / "suite.yaml").write_text(settings)
    if shots:
        (path / "shots.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shots))
    return path


@pytest.mark.parametrize("ability", ABILITIES)
def test_built_in_abilities_are_sound(ability: str) -> None:
    suite = read_suite(ability)
    assert suite.name == ability and 20 <= len(suite.items) <= 60
    asked = [(item.context, item.choices, item.answers) for item in suite.items]
    assert len(set(asked)) == len(asked), "an item stands twice"
    assert suite.settings.licence and "Apache-2.0" in suite.settings.licence
    if suite.kind == "choice":
        assert all(len(set(item.choices)) == len(item.choices) for item in suite.items)
        places = [item.right / (len(item.choices) - 1) for item in suite.items]
        assert 0.3 < np.mean(places) < 0.7, "the right choice stands mostly at one place"


def test_built_in_sums_are_right() -> None:
    signs = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "times": lambda a, b: a * b}
    told = 0
    for item in read_suite("arithmetic").items:
        if found := re.fullmatch(r"(\d+) (\+|-|times) (\d+) (?:=|is)", item.context):
            assert int(item.answers[0]) == signs[found[2]](int(found[1]), int(found[3])), item.context
            told += 1
    assert told == 30


KEEPS = {
    r'Write the word "(\w+)" in capital letters only:': lambda w, said: said == w.upper(),
    r'Write the word "(\w+)" in small letters only:': lambda w, said: said == w.lower(),
    r'Write the word "(\w+)" exactly twice:': lambda w, said: said.split() == [w] * 2,
    r'Write the word "(\w+)" exactly three times:': lambda w, said: said.split() == [w] * 3,
    r"List the numbers from (\d+) to .*": lambda w, said: said.split(", ")[0] == w and said.count(",") == 3,
    r'Write the words "(\w+)" and .* hyphen.*': lambda w, said: said.startswith(w) and said.count("-") == 1,
    r'Write the word "(\w+)" and end it with an exclamation mark:': lambda w, said: said == w + "!",
    r'Write the word "(\w+)" in quotation marks:': lambda w, said: said == f'"{w}"',
    r'Write only the first letter of the word "(\w+)":': lambda w, said: said == w[0],
    r"(Answer) with one word only\..*": lambda w, said: len(said.split()) == 1,
}


def test_the_right_choice_alone_keeps_the_instruction() -> None:
    for item in read_suite("instructions").items:
        (keeps, word), *more = [
            (test, found[1]) for form, test in KEEPS.items() if (found := re.fullmatch(form, item.context))
        ]
        assert not more
        assert [keeps(word, choice) for choice in item.choices] == [n == item.right for n in range(len(item.choices))]


def test_template_separator_and_examples_make_the_context(tmp_path: Path) -> None:
    settings = 'template: "{{ subject }}: {{ question }}?"\nseparator: " -> "\nfew_shot: 1\nlicence: mine\n'
    rows = [{**row, "subject": "S"} for row in ROWS]
    suite = read_suite(str(folder(tmp_path / "s", rows[1:], settings, rows[:1])))
    assert suite.items[0].context == "S: My card has? -> not arrived\n\nS: The invoice?"
    assert suite.items[0].right == 1 and suite.items[0].answers == ("link",) and suite.settings.licence == "mine"
    assert suite.name == "s" and suite.kind == "choice"


@pytest.mark.parametrize(
    ("rows", "settings", "says"),
    [
        ([], "", "no items"),
        ([{"question": "q", "choices": ["a"], "answer": 0}], "", "two choices"),
        ([{"question": "q", "choices": ["a", "b"], "answer": 2}], "", "none of the choices"),
        ([{"question": "q", "choices": ["a", "b"], "answer": True}], "", "none of the choices"),
        ([{"question": "q"}], "kind: generate", "no answer"),
        ([{"answer": "a"}], "kind: likelihood", "names 'question'"),
        (ROWS, "few_shot: 2", "there are 0"),
        (ROWS, "metric: rouge1", "does not measure"),
        (ROWS, "kinds: choice", "Extra inputs"),
        (ROWS, "kind: [", "flow"),
    ],
)
def test_a_suite_that_cannot_be_used_says_why(
    rows: list[dict[str, Any]], settings: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read_suite(str(folder(tmp_path / "s", rows, settings)))
    assert caught.value.fix


def test_a_suite_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no suite 'arithmetics'"):
        read_suite("arithmetics", tmp_path)
    (tmp_path / "bad.jsonl").write_text("{}\nnot json\n")
    with pytest.raises(DataError) as caught:
        read_suite("bad.jsonl", tmp_path)
    assert caught.value.where == "bad.jsonl:2"


def test_raw_and_length_normalised_choices_differ_as_in_the_harness(tmp_path: Path) -> None:
    """acc takes the largest sum, acc_norm the largest sum a character (lm_eval.api.task)."""
    suite = read_suite(str(folder(tmp_path / "s", ROWS)))
    answers = [Answer(likely=(-6.0, -5.0, -4.0)), Answer(likely=(-6.5, -5.0)), Answer(likely=(-9.0, -9.0, -9.0, -3.0))]
    assert right_choices(suite.items, answers, by_length=False).tolist() == [0, 1, 1]
    lengths = [[len(choice) for choice in item.choices] for item in suite.items]
    expected = [
        int(np.argmax(np.array(answer.likely) / np.array(of_item, dtype=float)) == item.right)
        for answer, of_item, item in zip(answers, lengths, suite.items, strict=True)
    ]
    assert right_choices(suite.items, answers, by_length=True).tolist() == expected == [0, 0, 0]
    found = measure(suite, answers, "m")
    assert found.figures["acc"].value == pytest.approx(2 / 3) and found.figures["acc_norm"].value == 0
    assert found.figures["acc"].interval is not None and found.chance == pytest.approx((1 / 3 + 1 / 2 + 1 / 4) / 3)
    assert json.dumps(found.to_json(), allow_nan=False)


def test_scores_are_shares_of_likelihood(tmp_path: Path) -> None:
    suite = read_suite(str(folder(tmp_path / "s", ROWS[1:2])))
    assert scores(suite, [Answer(likely=(np.log(0.1), np.log(0.3)))]) == [(pytest.approx(0.75), 0.5)]
    prose = read_suite(str(folder(tmp_path / "p", [{"text": "abc"}])))
    assert scores(prose, [Answer(likely=(-4.0,), num_tokens=2)]) == [(pytest.approx(np.exp(-2.0)), 0.0)]
    said = read_suite(str(folder(tmp_path / "g", [{"question": "q", "answer": ["yes", "yea"]}] * 2, "kind: generate")))
    assert scores(said, [Answer(text="yea"), Answer(text="no")]) == [(1.0, 0.0), (0.0, 0.0)]
    words = "kind: generate\nmetric: token_f1"
    part = read_suite(str(folder(tmp_path / "w", [{"question": "q", "answer": "a red hat"}], words)))
    assert 0 < scores(part, [Answer(text="red shoe")])[0][0] < 1


def test_choices_are_scored_as_plain_transformers_would(model: Model, tmp_path: Path) -> None:
    import torch

    suite = read_suite(str(folder(tmp_path / "s", ROWS)))
    found = ask(model, suite)
    for item, answer in zip(suite.items, found, strict=True):
        for choice, likely in zip(item.choices, answer.likely, strict=True):
            ids = model.tokenizer(item.context + " " + choice)["input_ids"]
            before = len(model.tokenizer(item.context)["input_ids"])
            with torch.no_grad():
                logits = model.module(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            expected = sum(float(logits[at - 1, ids[at]]) for at in range(before, len(ids)))
            assert likely == pytest.approx(expected, abs=1e-4)
    assert not any(answer.cut for answer in found)


def test_batches_do_not_change_answers(model: Model, tmp_path: Path) -> None:
    suite = read_suite(str(folder(tmp_path / "s", ROWS)))
    one, many = ask(model, suite, batch=1), ask(model, suite, batch=64)
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(a.likely, b.likely, atol=1e-4)


def test_what_the_model_cannot_read_is_cut_and_counted(model: Model, tmp_path: Path) -> None:
    long = [{**ROWS[0], "question": "word " * 400 + ROWS[0]["question"]}]
    answers = ask(model, read_suite(str(folder(tmp_path / "s", long))))
    assert answers[0].cut and np.isfinite(answers[0].likely).all()
    assert measure(read_suite(str(tmp_path / "s")), answers, "m").cut == 1
    endless = [{"question": "q", "choices": ["a", "word " * 400], "answer": 0}]
    with pytest.raises(DataError, match="the answer has"):
        ask(model, read_suite(str(folder(tmp_path / "e", endless))))


def test_generated_answers_end_at_a_stop_and_chat_asks_otherwise(model: Model, tmp_path: Path) -> None:
    rows = [{"question": "What is 12 plus 30?", "answer": "42"}]
    whole = ask(model, read_suite(str(folder(tmp_path / "a", rows, "kind: generate\nmax_new_tokens: 12\nstop: []"))))[0]
    assert whole.num_tokens <= 12 and whole.text
    stop = whole.text[2]
    cut = ask(
        model, read_suite(str(folder(tmp_path / "b", rows, f"kind: generate\nmax_new_tokens: 12\nstop: [{stop!r}]")))
    )[0]
    assert len(cut.text) < len(whole.text) and stop not in cut.text
    plain = ask(model, read_suite(str(folder(tmp_path / "c", ROWS))))[0]
    chat = ask(model, read_suite(str(folder(tmp_path / "d", ROWS, "chat: true"))))[0]
    assert plain.likely != chat.likely and chat.num_tokens > plain.num_tokens  # the stop token counts


def test_prose_alone_and_other_families(tmp_path: Path) -> None:
    texts = [{"text": "My card has not arrived yet."}, {"text": "The invoice of last month."}]
    path = folder(tmp_path / "p", texts)
    t5 = open_model(str(tiny_model(tmp_path / "t5", "t5")), workspace=tmp_path)
    assert all(np.isfinite(answer.likely[0]) for answer in ask(t5, read_suite(str(path))))
    gpt2 = open_model(str(tiny_model(tmp_path / "gpt2", "gpt2")), workspace=tmp_path)
    found = measure(read_suite(str(path)), ask(gpt2, read_suite(str(path))), "gpt2")
    assert found.figures["perplexity"].value is not None and found.chance is None
    labelled = open_model(str(tmp_path / "gpt2"), workspace=tmp_path, head="classify", labels=["a", "b"])
    with pytest.raises(ModelError, match="cannot answer"):
        ask(labelled, read_suite(str(path)))


def test_a_stopped_suite_goes_on_and_asks_nothing_twice(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.evaluate.suites.ask.AT_ONCE", 1)
    suite = read_suite(str(folder(tmp_path / "s", ROWS)))
    whole = ask(model, suite)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask_kept(model, suite, tmp_path, batch=4, after=stop)
    (kept,) = (tmp_path / ".tunesmith" / "suites").iterdir()
    kept.write_text(kept.read_text()[:-5])  # a crash cut the last line
    seen: list[int] = []
    found = ask_kept(model, suite, tmp_path, batch=4, after=lambda done, total: seen.append(done))
    assert seen == [1, 2, 3] and [a.to_json() for a in found] == [a.to_json() for a in whole]
    monkeypatch.setattr("tunesmith.evaluate.suites.ask._Asker.answer", None)
    assert ask_kept(model, suite, tmp_path, batch=4, after=lambda done, total: None) == found


@pytest.mark.slow
def test_the_harness_agrees(model: Model, tmp_path: Path) -> None:
    """lm-evaluation-harness on the same items: the same acc and acc_norm."""
    pytest.importorskip("lm_eval", reason="pip install 'tunesmith[harness]'")
    from tunesmith.evaluate.suites.harness import run_tasks

    suite = read_suite("facts", most=12)
    data = tmp_path / "facts.jsonl"
    rows = [{"question": i.context, "choices": list(i.choices), "answer": i.right} for i in suite.items]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "ours_facts.yaml").write_text(
        "task: ours_facts\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {data}}}}}\ntest_split: test\noutput_type: multiple_choice\n"
        'doc_to_text: "{{question}}"\ndoc_to_target: answer\ndoc_to_choice: choices\n'
        "metric_list:\n  - {metric: acc, aggregation: mean, higher_is_better: true}\n"
        "  - {metric: acc_norm, aggregation: mean, higher_is_better: true}\nmetadata: {version: 1}\n"
    )
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said = run_tasks(model, ["ours_facts"], include=tmp_path)
    ours = measure(suite, ask(model, suite), "m").figures
    for name in ("acc", "acc_norm"):
        assert said["tasks"]["ours_facts"][name]["value"] == pytest.approx(ours[name].value)


def test_without_the_harness_the_error_says_what_to_install(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from tunesmith.evaluate.suites.harness import run_tasks

    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(MissingDependency, match="lm_eval") as caught:
        run_tasks(model, ["arc_easy"])
    assert caught.value.fix == "pip install 'tunesmith[harness]'"


def test_the_page_says_what_a_spec_takes() -> None:
    """Every spec on docs/evaluation.md is one, and its names exist."""
    from tunesmith.spec.load import parse

    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    shown = [
        block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if not block.startswith("# suite.yaml")
    ]
    assert len(shown) == 2
    for block in shown:
        parse(f"name: page\ndata: {{sources: [a.jsonl]}}\n{block}", "page.yaml")
