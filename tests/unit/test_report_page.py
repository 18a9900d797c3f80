"""The page says what the run's files say, in order, whole, and lets nothing of them become markup."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console
from tests.unit.report_fixture import (
    crowded_run,
    empty_run,
    fill_data,
    fill_evaluation,
    fill_training,
    full_run,
    label_predictions,
    poison,
    records,
    span_predictions,
)

from tunesmith.evaluate.comparison import Comparison, Difference
from tunesmith.evaluate.predict import majority
from tunesmith.evaluate.statistics.significance import meaning
from tunesmith.records import Message, Prediction, Record
from tunesmith.report.render import render, style
from tunesmith.report.terminal import terminal_summary
from tunesmith.report.views.comparison import difference_cell
from tunesmith.report.views.rows import changed
from tunesmith.runs import Run, write_json, write_text

VOID = {"meta", "link", "br", "hr", "img", "input"}
PAYLOADS = (
    "<script>document.title='pwned'</script>",
    '"><img src=x onerror="document.title=\'pwned\'">',
    "'><svg onload=document.title='pwned'>",
    "</style><script>document.title='pwned'</script>",
    "</title></textarea><iframe src=javascript:document.title='pwned'>",
    "{{ 7 * 7 }}{% raw %}",
    "<a href=javascript:alert(1)>link</a>",
    "\u202e\x07&lt;b&gt;",
)


class Page(HTMLParser):
    """What a browser would see: tags in order with their attributes, the text, and whether tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> inside {self.open[-4:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(full_run(tmp_path_factory.mktemp("run"), right=0.99))


def test_the_verdict_is_first_and_the_chapters_follow_in_order(html: str) -> None:
    ids = [attributes["id"] for attributes in Page(html).all("section")]
    assert ids == [
        "verdict", "comparison", "slices", "classes", "rows", "training", "data", "cost", "lineage", "spec",
    ]  # fmt: skip
    assert re.search(r'id="verdict-title">SHIP<', html)


def test_the_figures_of_the_files_are_on_the_page(tmp_path: Path) -> None:
    run = full_run(tmp_path, right=0.99)
    page = Page(render(run))
    verdict = json.loads((run / "evaluation" / "verdict.json").read_text("utf-8"))
    comparison = json.loads((run / "evaluation" / "comparison.json").read_text("utf-8"))
    assert verdict["reason"][1:] in page.text
    for target in verdict["targets"]:
        assert target["metric"] in page.text
    for measure in comparison["measures"]:
        for estimate in measure["arms"].values():
            assert f"{estimate['value']:.3f}" in page.text or f"{estimate['value']:.2f}" in page.text
    for said in (
        "2,063",
        "173",
        "1,890",
        "not valid JSON",
        "tickets.jsonl:17",
        "exact_dedup",
        "71.4% of them, in turns",
        "29.1%",
    ):
        assert said in page.text
    assert "The stop token is trained in 1,410 of 1,410 answers." in page.text
    assert "138 exact copies dropped." in page.text
    assert "812 MB" in page.text and "AMD EPYC" in page.text and "about 6.27T FLOPs" in page.text
    assert "written" in page.text and "99% of the rows have at most 61 tokens" in page.text
    assert "kept: step 270" in page.text


@pytest.mark.parametrize(("right", "word", "sign"), [(0.99, "SHIP", "met"), (0.6, "DON'T SHIP", "missed")])
def test_the_word_is_the_verdict(tmp_path: Path, right: float, word: str, sign: str) -> None:
    text = render(full_run(tmp_path, right=right))
    assert f'id="verdict-title">{word.replace(chr(39), "&#39;")}<' in text
    assert f'class="verdict {sign}"' in text


def test_an_undecided_target_says_how_many_rows_it_would_take(tmp_path: Path) -> None:
    run = full_run(tmp_path, right=0.85)
    targets = json.loads((run / "evaluation" / "verdict.json").read_text("utf-8"))["targets"]
    wanted = next(target["more_rows"] for target in targets if target["outcome"] == "undecided")
    assert f"about {wanted:,}" in Page(render(run)).text


def test_slices_are_worst_first(html: str) -> None:
    table = html[html.index('id="slices"') :]
    values = re.findall(r'data-label="tuned">([\d.]+)', table[: table.index("</table>")])
    assert len(values) == 6 and values == sorted(values)


def test_few_classes_are_printed_and_many_are_mapped(tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    assert '<table class="matrix many">' in render(full_run(few))
    labels = tuple(f"intent_{number:02d}" for number in range(77))
    text = render(full_run(many, right=0.9, labels=labels, num_rows=800))
    assert "matrix many" not in text and '<svg class="heat"' in text
    assert "intent_00 called intent_01" in text
    assert len(text) < 600_000


def test_every_target_states_its_outcome_in_words(html: str) -> None:
    assert html.count("\u2713 met") >= 3


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_of_the_run_becomes_markup(tmp_path: Path, payload: str) -> None:
    run = full_run(tmp_path, right=0.9)
    clean = Page(render(run))
    poison(run, payload)
    page = Page(render(run))
    # A label with a payload behind it is an answer of several words, whose changes are marked.
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in clean.tags} | {"del", "ins"}
    assert not page.all("script") and not page.all("img") and not page.all("iframe")
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset")], tag
        assert (attributes.get("href") or "#").startswith("#")
    visible = payload.replace("\x07", "")
    assert page.text.replace("\x07", "").count(visible) > 100


def test_the_policy_allows_the_page_s_own_sheet_and_nothing_else(html: str) -> None:
    policy = next(meta["content"] for meta in Page(html).all("meta") if meta.get("http-equiv"))
    sheet = html[html.index("<style>") + 7 : html.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in sheet and "@import" not in sheet and "http:" not in html and "https:" not in html


def test_the_page_is_accessible(html: str) -> None:
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [a["href"] for a in page.all("a")] == ["#verdict", *(f"#{s['id']}" for s in page.all("section"))]
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(th.get("scope") in ("col", "row", "rowgroup") for th in page.all("th"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
    assert all(div.get("aria-label") for div in page.all("div") if div.get("role") == "region")
    assert page.all("html")[0]["lang"] == "en"


def luminance(color: str) -> float:
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast_in_both_themes(theme: str) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text; 1.4.11: 3 to 1 for the parts of drawings."""
    sheets = style().split("@media (prefers-color-scheme: dark)")
    colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", sheets[0]))
    if theme == "dark":
        colors |= dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", sheets[1]))
    for text in ("ink", "soft", "met", "missed", "undecided", "a"):
        assert contrast(colors[text], colors["paper"]) >= 4.5, text
        assert contrast(colors[text], colors["wash"]) >= 4.5, text
    assert contrast(colors["ink"], colors["trained-wash"]) >= 4.5
    assert contrast(colors["ink"], colors["undecided-wash"]) >= 4.5
    assert contrast(colors["ink"], colors["missed-wash"]) >= 4.5
    for text in ("met", "missed", "undecided"):
        assert contrast(colors[text], colors[f"{text}-wash"]) >= 4.5, text
    for mark in ("a", "b", "c"):
        assert contrast(colors[mark], colors["paper"]) >= 3, mark


def test_a_run_with_nothing_in_it_says_what_is_missing(tmp_path: Path) -> None:
    page = Page(render(empty_run(tmp_path)))
    for sentence in (
        "was not evaluated",
        "has no ledger",
        "No training step",
        "has no resolved spec",
        "has no lineage",
    ):
        assert sentence in page.text
    assert "NO VERDICT" in page.text


def test_a_run_that_was_only_trained_shows_its_training(tmp_path: Path) -> None:
    run = empty_run(tmp_path)
    fill_data(run)
    fill_training(run)
    page = Page(render(run))
    assert "NO VERDICT" in page.text and "The training loss went from" in page.text


def test_a_borrowed_training_names_its_lender(tmp_path: Path) -> None:
    run = empty_run(tmp_path)
    event = {"at": 1.0, "kind": "stage", "stage": "train-1", "status": "borrowed", "run": "support-triage/3"}
    write_text(run / "events.jsonl", json.dumps(event) + "\n")
    assert "support-triage/3" in Page(render(run)).text


def test_no_targets_is_a_verdict_of_its_own(tmp_path: Path) -> None:
    run = empty_run(tmp_path)
    rows = records(40)
    fill_evaluation(run, {"tuned": label_predictions(rows, 0.9)}, metrics=["accuracy"], targets=[])
    text = render(run)
    assert 'id="verdict-title">NO TARGETS<' in text and "no other arm to compare with" in text


@pytest.mark.parametrize(
    "name", ["spec.json", "data/ledger.json", "data/sample.json", "evaluation/comparison.json", "lineage.json"]
)
@pytest.mark.parametrize("content", ["{", "[1]", '{"sources": 3}', "null"])
def test_a_damaged_file_costs_its_chapter_and_is_named(tmp_path: Path, name: str, content: str) -> None:
    run = full_run(tmp_path)
    (run / name).write_text(content, "utf-8")
    page = Page(render(run))
    assert "SHIP" in page.text
    if content == "{":
        assert f"{name} cannot be read" in page.text


def test_half_a_surrogate_pair_does_not_stop_the_report(tmp_path: Path) -> None:
    run = full_run(tmp_path)
    path = run / "evaluation" / "comparison.json"
    path.write_text(path.read_text("utf-8").replace("Hello", "\\ud83d"), "utf-8")
    render(run).encode("utf-8")


def test_the_same_files_make_the_same_page(tmp_path: Path) -> None:
    run = full_run(tmp_path)
    assert render(run) == render(run)


def test_three_arms_stand_side_by_side(tmp_path: Path) -> None:
    rows = records(120)
    run = empty_run(tmp_path)
    arms = {
        "base": label_predictions(rows, 0.3, seed=1),
        "majority": majority(rows, rows),
        "tuned": label_predictions(rows, 0.9),
    }
    fill_evaluation(run, arms, metrics=["accuracy"])
    page = Page(render(run))
    assert page.text.count("majority") > 3
    assert "Tuned against 2 others" in page.text
    assert "tuned is clearly better than base and majority by 1 of 1 metric." in page.text


def test_what_a_reader_must_know_stands_above_the_targets(tmp_path: Path) -> None:
    run = crowded_run(tmp_path)
    html = render(run)
    found = json.loads((run / "evaluation" / "verdict.json").read_text("utf-8"))
    kinds = [warning["kind"] for warning in found["warnings"]]
    assert kinds == ["contamination", "simpler", "simpler", "noise", "slice"]
    text = Page(html).text
    places = [text.index(warning["text"]) for warning in found["warnings"]]
    assert places == sorted(places) and places[-1] < text.index("What would change it")
    assert html.index('class="cautions"') < html.index('class="stack targets"')
    for target in found["targets"]:
        assert target["change"] and target["change"] in text
    lineage = json.loads((run / "lineage.json").read_text("utf-8"))
    assert lineage["spec_digest"][:16] in text[: text.index("Tuned against 6 others")]
    assert "Slices that nobody named" in text and "minus few_shot" in text


def test_how_the_arms_were_asked_stands_beside_their_figures(tmp_path: Path) -> None:
    run = crowded_run(tmp_path)
    html = render(run)
    chapter = html[html.index('<section id="comparison"') : html.index('<section id="slices"')]
    text = " ".join(Page(chapter).text.split())
    chose = "best of 2 ways to ask: classify, wording 2, system “Be brief.”; 0.780 by accuracy on 200 validation rows"
    assert chose in text and "asked: run:triage/3" in text and "classify, wording 10.710 0.660 to 0.760" in text
    assert "examples shown before each row: 3.5" in text and "examples left out for want of room: 200" in text
    assert "learned from: 1,410 rows" in text and "named an answer: in 180 of 240 rows (75.0%)" in text
    write_json(run / "evaluation" / "arms.json", {"prompt": {"arm": {}, "found": {"variants": [{"name": 1}]}}})
    broken = Page(render(run)).text
    assert "evaluation/arms.json cannot be read" in broken and "How the arms were asked" not in broken


def test_rows_that_were_trained_on_are_listed(tmp_path: Path) -> None:
    html = render(crowded_run(tmp_path))
    assert "9 test rows that the model was trained on" in Page(html).text
    assert html.count("<td>word for word</td>") == 9 and "old.jsonl:3" in html


def test_an_answer_is_marked_word_by_word() -> None:
    assert changed("the cat <sat> down", "the dog <sat> down") == ("the <del>cat</del><ins>dog</ins> &lt;sat&gt; down")
    assert changed("pay in July", "pay in July please") == "pay in July<ins> please</ins>"
    assert changed("spam", "ham") is None  # labels of a word
    assert changed("the same words", "the same words") is None
    assert changed("one two three", "four five six") is None  # nothing in common to mark the rest against


def test_tagged_rows_show_both_markings(tmp_path: Path) -> None:
    run = empty_run(tmp_path)
    target = {"metric": "entity_f1", "at_least": 0.5}
    fill_evaluation(run, {"tuned": span_predictions()}, metrics=["entity_f1"], targets=[target], task="extract")
    text = render(run)
    assert '<mark class="expected said-too">' in text and '<mark class="expected">' in text
    assert "PER" in text and '<table class="matrix' not in text


def test_written_answers_are_shown_with_their_scores_and_lengths(tmp_path: Path) -> None:
    run = empty_run(tmp_path)
    rows = [
        Record(
            f"s:{n}",
            f"s.jsonl:{n}",
            messages=(Message("user", f"sum up {n}"), Message("assistant", f"the {n} end", True)),
        )
        for n in range(40)
    ]
    arms = {
        "base": [Prediction(row, "no idea at all", row.answer) for row in rows],
        "tuned": [Prediction(row, row.answer if n % 3 else "the end", row.answer) for n, row in enumerate(rows)],
    }
    fill_evaluation(run, arms, metrics=["rougeL"], targets=[{"metric": "rougeL", "at_least": 0.5}], task="summarize")
    page = Page(render(run))
    assert "sum up 3" in page.text and "no idea at all" in page.text
    assert "Length of answers in characters" in page.text
    assert "classes" not in [section["id"] for section in page.all("section")]


def test_a_figure_that_could_not_be_measured_is_a_dash(tmp_path: Path) -> None:
    run = full_run(tmp_path)
    path = run / "evaluation" / "comparison.json"
    found = json.loads(path.read_text("utf-8"))
    found["measures"][0]["arms"]["tuned"] = {"value": None, "interval": None, "num_rows": 0}
    found["measures"][0]["slices"][0]["arms"]["tuned"] = {"value": None, "interval": None, "num_rows": 0}
    found["measures"][1]["arms"]["tuned"]["interval"] = [None, 0.97]
    found["measures"][1]["differences"] = {}
    write_json(path, found)
    text = Page(render(run)).text
    assert "\N{EN DASH}" in text and "at most 0.970" in text


def test_steps_that_were_not_finite_do_not_stop_the_report(tmp_path: Path) -> None:
    run = empty_run(tmp_path)
    steps = [
        {"at": 1.0, "kind": "step", "stage": "train-1", "step": 1, "loss": 2.0, "lr": 1e-4, "grad_norm": "nan"},
        {"at": 2.0, "kind": "step", "stage": "train-1", "step": 2, "loss": "nan", "lr": 1e-4, "grad_norm": "inf"},
        {"at": 2.0, "kind": "step"},
        {"at": 2.0, "kind": "stage"},
    ]
    write_text(run / "events.jsonl", "".join(json.dumps(step) + "\n" for step in steps))
    assert "went from 2.000 to 2.000" in Page(render(run)).text


def test_making_a_report_needs_no_torch(tmp_path: Path) -> None:
    run = full_run(tmp_path)
    code = (
        "import sys; from pathlib import Path; from tunesmith.runs import Run;"
        "from tunesmith.report.render import render;"
        "from tunesmith.report.card import card; from tunesmith.report.terminal import terminal_summary;"
        f"run = Run(Path({str(run.path)!r})); render(run); card(run); terminal_summary(run);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_model_without_mistakes_is_not_said_to_have_weak_spots(tmp_path: Path) -> None:
    text = Page(render(full_run(tmp_path, right=2.0))).text
    assert "No slice does worse than all 240 rows together, 1.000." in text
    assert "Where tuned is right, but least sure" in text
    assert "does worst" not in text


def test_what_looked_wrong_is_shown_with_the_training(html: str) -> None:
    assert "What looks wrong" in html and html.count("Plateau: the loss has &lt;stood&gt;") == 1


def many_arms(root: Path) -> Run:
    """A run with three arms beside the tuned one, of which one is about as good, and with two further seeds."""
    run = empty_run(root)
    fill_data(run)
    rows = records(240)
    arms = {name: label_predictions(rows, right, seed=seed) for seed, (name, right) in enumerate(
        {"base": 0.35, "majority": 0.3, "linear": 0.93, "tuned": 0.95}.items()
    )}  # fmt: skip
    fill_evaluation(run, arms, seeds=[label_predictions(rows, 0.9, seed=8), label_predictions(rows, 0.85, seed=9)])
    return run


def test_the_tuned_model_is_shown_against_every_arm_and_seed(tmp_path: Path) -> None:
    run = many_arms(tmp_path)
    found = Comparison.from_json(json.loads((run / "evaluation" / "comparison.json").read_text("utf-8")))
    text = Page(render(run)).text
    assert "Differences are tuned minus the arm, paired" in text
    accuracy = found.measures[0]
    assert meaning(accuracy.differences["majority"], "higher", 0.95) == "better"
    assert meaning(accuracy.differences["linear"], "higher", 0.95) == "unclear"
    against = difference_cell(accuracy.differences["linear"], "higher", "", 0.95)
    said = f"{against['value']}{against['interval']}too close to call{against['p']}"
    assert "".join(said.split()) in "".join(text.split())
    macro = found.measures[1]
    assert all(meaning(macro.differences[arm], "higher", 0.95) == "better" for arm in ("base", "majority"))
    assert accuracy.seeds is not None and accuracy.seeds.mean is not None
    assert "Tuned, seed by seed." in text and f"{accuracy.seeds.mean:.3f}" in text
    shown = Console(width=160, file=io.StringIO())
    shown.print(terminal_summary(run))
    assert "tuned minus" in shown.file.getvalue()  # type: ignore[attr-defined]


def test_a_difference_is_no_gain_where_so_many_were_looked_at() -> None:
    alone = Difference(0.05, (0.001, 0.1), 0.04, 100, corrected=0.04)
    among = replace(alone, corrected=0.4)
    assert [meaning(each, "higher", 0.95) for each in (alone, among)] == ["better", "unclear"]
    assert meaning(alone, "higher", 0.99) == "unclear"
    assert difference_cell(among, "higher", "", 0.95)["p"] == "0.400"


def test_what_was_measured_once_is_not_called_too_close() -> None:
    """Memory is one figure for all rows: no chance can be told of it; and a figure that is lacking says nothing."""
    once = difference_cell(Difference(345.8, (345.8, 345.8), None, 100), "lower", "MB", 0.95)
    assert (once["means"], once["p"], once["interval"]) == ("measured once", "–", "")
    lacking = difference_cell(Difference(None, None, None, 0), "lower", "MB", 0.95)
    assert (lacking["value"], lacking["means"]) == ("–", "")
