"""The model card is one the hub accepts, says what was measured, and cannot be written into by the data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from tests.unit.report_fixture import empty_run, fill_data, fill_training, full_run, poison

from tunesmith.report.card import card, escaped
from tunesmith.report.evidence import Evidence
from tunesmith.report.views.cost import flops, kwh
from tunesmith.runs import Run, write_json


def changed(run: Run, name: str, **values: Any) -> None:
    path = run / name
    write_json(path, {**json.loads(path.read_text("utf-8")), **values})


def loaded(run: Run) -> ModelCard:
    path = run / "card.md"
    path.write_text(card(run), "utf-8")
    return ModelCard.load(path)


def test_the_hub_reads_the_metadata(tmp_path: Path) -> None:
    found = loaded(full_run(tmp_path, right=0.99)).data
    assert found.license == "apache-2.0"
    assert found.library_name == "peft"
    assert found.pipeline_tag == "text-generation"
    assert found.tags == ["tunesmith", "lora", "classify"]
    assert found.metrics == ["accuracy", "f1", "latency_p95"]
    results = {result.metric_name: result for result in found.eval_results}
    assert results["accuracy"].metric_value > 0.9
    assert {result.dataset_split for result in found.eval_results} == {"test"}
    assert found.model_name == "support-triage/4"


def test_values_are_those_of_the_tuned_arm(tmp_path: Path) -> None:
    run = full_run(tmp_path)
    comparison = json.loads((run / "evaluation" / "comparison.json").read_text("utf-8"))
    wanted = {measure["name"]: round(measure["arms"]["tuned"]["value"], 6) for measure in comparison["measures"]}
    assert {result.metric_name: result.metric_value for result in loaded(run).data.eval_results} == wanted


@pytest.mark.parametrize(
    ("reference", "adapter", "base", "relation", "library"),
    [
        ("Qwen/Qwen3-0.6B", "lora", "Qwen/Qwen3-0.6B", "adapter", "peft"),
        ("Qwen/Qwen3-0.6B", "full", "Qwen/Qwen3-0.6B", "finetune", "transformers"),
        ("bundled", "lora", None, None, "peft"),
        ("./models/mine", "full", None, None, "transformers"),
        ("run:triage/3", "full", None, None, "transformers"),
    ],
)
def test_the_base_is_named_where_the_hub_knows_it(
    tmp_path: Path, reference: str, adapter: str, base: str | None, relation: str | None, library: str
) -> None:
    run = full_run(tmp_path)
    changed(run, "lineage.json", base={"reference": reference, "licence": "Apache-2.0"})
    spec = json.loads((run / "spec.json").read_text("utf-8"))
    spec["spec"]["train"][0]["adapter"] = {"kind": adapter}
    write_json(run / "spec.json", spec)
    found = loaded(run).data
    assert found.base_model == base
    assert found.get("base_model_relation") == relation
    assert found.library_name == library
    assert reference in escaped(reference).replace("\\", "") and reference in card(run).replace("\\", "")


@pytest.mark.parametrize(
    ("objective", "task", "tag"),
    [
        ("classify", "classify", "text-classification"),
        ("tag", "extract", "token-classification"),
        ("sft", "summarize", "summarization"),
        ("sft", "translate", "translation"),
        ("sft", "chat", "text-generation"),
        ("pretrain", None, "text-generation"),
    ],
)
def test_the_pipeline_follows_from_objective_and_task(
    tmp_path: Path, objective: str, task: str | None, tag: str
) -> None:
    run = full_run(tmp_path)
    spec = json.loads((run / "spec.json").read_text("utf-8"))
    spec["spec"]["train"][0]["objective"] = {"kind": objective}
    spec["spec"]["goal"]["task"] = task
    write_json(run / "spec.json", spec)
    assert loaded(run).data.pipeline_tag == tag


def test_a_licence_the_hub_has_no_word_for_is_named_as_other(tmp_path: Path) -> None:
    run = full_run(tmp_path)
    changed(run, "lineage.json", base={"reference": "a/b", "licence": "Our own, see LICENSE"})
    found = loaded(run).data
    assert found.license == "other" and found.license_name == "Our own, see LICENSE"


def test_the_sections_are_there_and_say_what_was_measured(tmp_path: Path) -> None:
    text = card(full_run(tmp_path, right=0.99))
    sections = ["Intended use", "Training data", "Training procedure", "Evaluation", "Limits", "Compute"]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == sections
    assert "**SHIP.** All 3 targets are met" in text
    assert "2,063 rows were read, 173 dropped and 1,890 kept" in text
    assert "| optimizer.lr | 0.0002 |" in text
    assert "worst first" in text and "| channel: phone |" in text
    assert "| tickets.jsonl | jsonl | 2063 | 1890 | not said | abababababababab |" in text


def test_every_line_of_a_table_has_the_cells_of_its_head(tmp_path: Path) -> None:
    width = None
    for line in card(full_run(tmp_path)).splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else None
        assert width is None or cells is None or cells == width, line
        width = cells


def test_a_run_without_evaluation_has_a_card_that_says_so(tmp_path: Path) -> None:
    run = empty_run(tmp_path)
    assert "was not evaluated" in loaded(run).text
    fill_data(run)
    fill_training(run)
    found = loaded(run)
    assert "was not evaluated" in found.text and found.data.eval_results is None


def test_nothing_of_the_run_becomes_markdown(tmp_path: Path) -> None:
    run = full_run(tmp_path, right=0.9)
    clean = card(run)
    poison(
        run,
        "\n\n# big | [link](javascript:alert(1)) <img src=x onerror=alert(1)> `code` https://evil.example ![i](u) --- ",
    )
    text = loaded(run).text
    body = clean[clean.index("\n---\n", 4) :]
    assert re.findall(r"^#+ ", text, re.MULTILINE) == re.findall(r"^#+ ", body, re.MULTILINE)
    assert len([line for line in text.splitlines() if line.startswith("|")]) == len(
        [line for line in body.splitlines() if line.startswith("|")]
    )
    assert not re.search(r"(?<!\\)<|(?<!\\)\[|(?<!\\)`|https?://", text)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("f1_macro", r"f1\_macro"),
        ("a|b", r"a\|b"),
        ("- x", r"\- x"),
        ("# x", r"\# x"),
        ("+0.2", "+0.2"),
        ("a\nb", "a b"),
    ],
)
def test_values_are_escaped_no_more_than_needed(text: str, safe: str) -> None:
    assert escaped(text) == safe


def test_what_only_the_author_knows_is_said(tmp_path: Path) -> None:
    run = full_run(tmp_path)
    assert "Out of scope" not in card(run)
    spec = json.loads((run / "spec.json").read_text("utf-8"))
    spec["spec"]["card"] = {
        "intended_use": "Agents sort tickets with it.",
        "out_of_scope": "Not for <b>health</b>.",
        "licences": {"tickets.jsonl": "CC-BY-4.0"},
        "base_tokens": 15e12,
    }
    write_json(run / "spec.json", spec)
    text = card(run)
    assert "Agents sort tickets with it." in text.partition("## Training data")[0]
    assert "### Out of scope\n\nNot for \\<b" in text
    assert "| tickets.jsonl | jsonl | 2063 | 1890 | CC-BY-4.0 | abababababababab |" in text


def test_energy_and_the_share_of_the_bases_compute(tmp_path: Path) -> None:
    run = full_run(tmp_path)
    # 236 s of a busy core at 12 W, and 0.8124 GB for 131 s at 0.3725 W a GB, in all 2,871.6 J.
    assert "- Energy: about 0.8 Wh (12 W a busy core, 0.3725 W a GB of memory)" in card(run)
    assert "pre-trained on is not said" in card(run)
    spec = json.loads((run / "spec.json").read_text("utf-8"))
    write_json(run / "spec.json", {**spec, "spec": {**spec["spec"], "card": {"base_tokens": 2e9}}})
    evidence = Evidence(run)
    asked = flops(evidence)
    assert asked is not None
    share = asked / (6 * 8_411_648 * 2e9)
    assert f"Share of the base's compute: {share:.4%} (the base: 101P FLOPs)" in card(run).replace("\\", "")
    changed(run, "environment.json", device="NVIDIA H200")
    assert "the GPU left out" in card(run)
    with (run / "events.jsonl").open("a") as events:
        said = {"at": 1, "kind": "resource", "peak_rss_mb": 0, "seconds": 3600, "cpu_seconds": 0, "gpu_watts": 700}
        events.write(json.dumps(said) + "\n")
    assert "GPUs at their rated power" in card(run) and kwh(Evidence(run)) == pytest.approx(0.7 + 2871.64 / 3.6e6)


@pytest.mark.parametrize(("objective", "asked"), [("sft", True), ("classify", False)])
def test_a_head_is_asked_with_no_prompt(tmp_path: Path, objective: str, asked: bool) -> None:
    run = full_run(tmp_path)
    spec = json.loads((run / "spec.json").read_text("utf-8"))
    spec["spec"]["prompt"] = {"template": "classify"}
    spec["spec"]["train"][0]["objective"] = {"kind": objective}
    write_json(run / "spec.json", spec)
    assert ("is to be asked with the same" in card(run)) == asked
