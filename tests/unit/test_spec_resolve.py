from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.errors import SpecError
from tunesmith.part import METRICS
from tunesmith.spec import derive
from tunesmith.spec.load import parse
from tunesmith.spec.quantity import Batch, Duration
from tunesmith.spec.resolve import Facts, Resolved, resolve, resolve_early
from tunesmith.spec.sections import ABILITIES

MINIMAL = "name: a\ndata: {sources: [a.jsonl]}\n"

TICKETS = Facts(
    shape="label",
    num_train=9_003,
    num_labels=77,
    labels_per_record=1,
    answer_tokens=0,
    row_tokens=43,
    context=1024,
    family="causal",
    num_parameters=8_000_000,
    cuda=False,
    bf16=False,
)
CHAT = replace(TICKETS, shape="chat", num_labels=0, answer_tokens=100, row_tokens=300, num_train=7_473)
PROSE = replace(TICKETS, shape="text", num_labels=0, num_train=2_000, row_tokens=5_000)
SPANS = replace(TICKETS, shape="spans", num_labels=0, num_train=1_400)


def resolved(facts: Facts, text: str = "") -> Resolved:
    spec, written = parse(MINIMAL + text, "a.yaml")
    return resolve(spec, written, facts)


def value(facts: Facts, path: str, text: str = "") -> Any:
    at: Any = resolved(facts, text).spec.model_dump(mode="json")
    for key in path.split("."):
        at = at[int(key)] if isinstance(at, list) else at[key]
    return at


def refusal(facts: Facts, text: str) -> str:
    with pytest.raises(SpecError) as raised:
        resolved(facts, text)
    return str(raised.value)


# What is derived --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "path", "expected"),
    [
        (TICKETS, "goal.task", "classify"),
        (SPANS, "goal.task", "extract"),
        (CHAT, "goal.task", "chat"),
        (replace(CHAT, shape="pair"), "goal.task", "chat"),
        (PROSE, "goal.task", "generate"),
        (TICKETS, "train.0.objective.kind", "classify"),
        (replace(TICKETS, family="encoder"), "train.0.objective.kind", "classify"),
        (CHAT, "train.0.objective.kind", "sft"),
        (replace(CHAT, shape="pair"), "train.0.objective.kind", "sft"),
        (PROSE, "train.0.objective.kind", "pretrain"),
        (SPANS, "train.0.objective.kind", "tag"),
        (replace(SPANS, num_labels=7), "train.0.objective.kind", "sft"),
        (replace(SPANS, num_labels=7, family="encoder"), "train.0.objective.kind", "tag"),
        (TICKETS, "prompt.template", "classify"),
        (TICKETS, "data.split.stratify", "label"),
        (CHAT, "data.split.stratify", None),
        (TICKETS, "train.0.adapter.kind", "full"),
        (replace(TICKETS, num_parameters=600_000_000), "train.0.adapter.kind", "lora"),
        (TICKETS, "train.0.optimizer.lr", 6.3e-4),
        (replace(TICKETS, num_parameters=2_000_000), "train.0.optimizer.lr", 1e-3),
        (replace(TICKETS, num_parameters=22_000_000), "train.0.optimizer.lr", 2.3e-4),
        (replace(TICKETS, num_parameters=100_000_000), "train.0.optimizer.lr", 5e-4),
        (replace(TICKETS, num_parameters=8_000_000_000), "train.0.optimizer.lr", 2e-4),
        (TICKETS, "train.0.batch", "32 rows"),
        (replace(TICKETS, num_train=1600), "train.0.batch", "16 rows"),
        (replace(TICKETS, num_train=200), "train.0.batch", "8 rows"),
        (CHAT, "train.0.batch", "16 rows"),
        (PROSE, "train.0.batch", "32768 tokens"),
        (TICKETS, "train.0.micro_batch", "32 rows"),
        (replace(CHAT, row_tokens=1024), "train.0.micro_batch", "8 rows"),
        (replace(CHAT, row_tokens=1024, cuda=True), "train.0.micro_batch", "16 rows"),
        (PROSE, "train.0.micro_batch", "8192 tokens"),
        (replace(CHAT, num_parameters=135_000_000), "train.0.micro_batch", "1024 tokens"),
        (
            replace(CHAT, row_tokens=1600, context=4096, num_parameters=135_000_000),
            "train.0.micro_batch",
            "2048 tokens",
        ),
        (replace(PROSE, num_parameters=135_000_000), "train.0.micro_batch", "1024 tokens"),
        (TICKETS, "train.0.duration", "9 epochs"),
        (replace(TICKETS, num_train=400), "train.0.duration", "20 epochs"),
        (replace(TICKETS, num_train=10**6), "train.0.duration", "2 epochs"),
        (CHAT, "train.0.duration", "4 epochs"),
        (replace(CHAT, num_train=52_000), "train.0.duration", "1 epoch"),
        (replace(CHAT, num_train=500), "train.0.duration", "10 epochs"),
        (PROSE, "train.0.duration", "1 epoch"),
        (replace(PROSE, num_train=800), "train.0.duration", "3 epochs"),
        (TICKETS, "train.0.schedule.warmup", "10%"),
        (CHAT, "train.0.schedule.warmup", "5%"),
        (TICKETS, "train.0.watch.0.metric", "accuracy"),
        (SPANS, "train.0.watch.0.metric", "entity_f1"),
        (CHAT, "train.0.watch.0.metric", "loss"),
        (TICKETS, "train.0.validate_every", "1 epoch"),
        (replace(CHAT, num_train=52_000), "train.0.validate_every", "325 steps"),
        (TICKETS, "train.0.precision", "fp32"),
        (replace(TICKETS, bf16=True), "train.0.precision", "bf16"),
        (TICKETS, "data.max_length", "64 tokens"),
        (CHAT, "data.max_length", "384 tokens"),
        (replace(CHAT, row_tokens=5000), "data.max_length", "1024 tokens"),
        (replace(CHAT, row_tokens=0), "data.max_length", "64 tokens"),
        (PROSE, "data.max_length", "1024 tokens"),
        (TICKETS, "data.steps.1.kind", "exact_dedup"),
        (TICKETS, "evaluate.metrics.1.kind", "f1_macro"),
        (replace(TICKETS, labels_per_record=3), "evaluate.metrics.0.kind", "f1_micro"),
        (SPANS, "evaluate.metrics.0.kind", "entity_f1"),
        (replace(SPANS, num_labels=7), "evaluate.metrics.0.kind", "exact_match"),
        (PROSE, "evaluate.metrics.0.kind", "perplexity"),
        (CHAT, "evaluate.max_new_tokens", 160),
        (TICKETS, "evaluate.max_new_tokens", 64),
        (replace(CHAT, answer_tokens=4000), "evaluate.max_new_tokens", 512),
    ],
)
def test_what_is_left_out_is_derived(facts: Facts, path: str, expected: Any) -> None:
    assert value(facts, path) == expected


@pytest.mark.parametrize(
    ("facts", "arms"),
    [
        (TICKETS, ["base", "majority", "linear", "tuned"]),
        (CHAT, ["base", "tuned"]),
        (replace(TICKETS, family="encoder"), ["majority", "linear", "tuned"]),
        (replace(SPANS, family="encoder"), ["tuned"]),
        (replace(TICKETS, family="encoder_decoder"), ["base", "majority", "linear", "tuned"]),
    ],
)
def test_arms_follow_base_and_task(facts: Facts, arms: list[str]) -> None:
    assert [arm["kind"] for arm in value(facts, "evaluate.arms")] == arms


@pytest.mark.parametrize(
    ("task", "metrics"),
    [
        ("summarize", ["rougeL", "rouge1", "rouge2"]),
        ("translate", ["chrf", "bleu"]),
        ("answer", ["exact_match", "token_f1"]),
    ],
)
def test_metrics_follow_the_task(task: str, metrics: list[str]) -> None:
    found = value(CHAT, "evaluate.metrics", f"goal: {{task: {task}}}\n")
    assert [metric["kind"] for metric in found] == metrics


def test_every_metric_that_can_be_derived_exists() -> None:
    tables = [*derive.METRICS_OF_TASK.values(), *derive.METRICS_OF_OBJECTIVE.values(), derive.SEVERAL_LABELS]
    tables += list(derive.FIGURES_TO_WATCH.values())
    assert {name for names in tables for name in names} <= set(METRICS.names())


def test_a_task_that_generates_is_learned_by_answering_though_the_rows_carry_labels() -> None:
    assert value(TICKETS, "train.0.objective.kind", "goal: {task: generate}\n") == "sft"


def test_fresh_weights_are_trained_in_full_at_the_rate_for_fresh_weights() -> None:
    text = "base: {initialize: random}\n"
    facts = replace(PROSE, num_parameters=100_000_000)
    assert value(facts, "train.0.adapter.kind", text) == "full"
    assert value(facts, "train.0.optimizer.lr", text) == 6.7e-4
    assert value(facts, "train.0.duration", text) == "4 epochs"


def test_each_stage_is_derived_by_itself() -> None:
    text = "base: {initialize: random}\ntrain:\n  - objective: pretrain\n  - {}\n"
    spec = resolved(replace(CHAT, num_parameters=100_000_000), text).spec
    assert [stage.objective.kind for stage in spec.train if stage.objective] == ["pretrain", "sft"]
    assert [stage.adapter.kind for stage in spec.train if stage.adapter] == ["full", "lora"]
    assert [stage.batch.unit for stage in spec.train if stage.batch] == ["tokens", "rows"]
    assert spec.train[0].optimizer != spec.train[1].optimizer


def test_only_the_last_stage_is_watched_by_the_metrics_of_the_whole() -> None:
    text = "train:\n  - objective: classify\n  - objective: classify\n"
    watched = [value(TICKETS, f"train.{number}.watch.0.metric", text) for number in (0, 1)]
    assert watched == ["loss", "accuracy"]


def test_what_is_watched_is_measured() -> None:
    assert value(TICKETS, "train.0.watch.0.metric", "evaluate: {metrics: [f1_macro]}\n") == "f1_macro"
    assert value(TICKETS, "train.0.watch.0.metric", "evaluate: {metrics: [perplexity]}\n") == "loss"


def test_without_validation_rows_nothing_watches() -> None:
    text = "data: {sources: [a.jsonl], split: {train: 0.9, validation: 0, test: 0.1}}\n"
    spec, written = parse(f"name: a\n{text}")
    assert [watcher.kind for watcher in resolve(spec, written, TICKETS).spec.train[0].watch] == ["diagnose"]
    spec, written = parse("name: a\n" + text.replace("[a.jsonl]", "[a.jsonl, {path: b.jsonl, split: validation}]"))
    assert resolve(spec, written, TICKETS).spec.train[0].watch != []


@pytest.mark.parametrize(
    ("duration", "every"),
    [
        ("1 epoch", "29 steps"),
        ("4 epochs", "1 epoch"),
        ("500 steps", "50 steps"),
        ("3 steps", "1 step"),
        ("30 min", "100 steps"),
    ],
)
def test_validation_comes_about_ten_times(duration: str, every: str) -> None:
    assert value(TICKETS, "train.0.validate_every", f"train: {{duration: {duration}}}\n") == every


@pytest.mark.parametrize(
    ("batch", "micro"), [("4 rows", "4 rows"), ("8k tokens", "8000 tokens"), ("1M tokens", "8192 tokens")]
)
def test_the_micro_batch_follows_the_batch(batch: str, micro: str) -> None:
    assert value(TICKETS, "train.0.micro_batch", f"train: {{batch: {batch}}}\n") == micro


@pytest.mark.parametrize(
    ("train", "times"),
    [
        ("{adapter: lora}", 10),
        ("{adapter: full}", 10),
        ("{adapter: prefix}", 0.1),  # which learns at a hundred times the rate of LoRA
        ("{adapter: prompt}", 0.5),  # and this at twenty times
        ("{adapter: ia3}", 0.5),
        ("{adapter: prefix, optimizer: {kind: adamw, lr: 4e-3}}", 2.5),
        ("{adapter: prefix, optimizer: {kind: adamw, lr: 1e-4}}", 10),
        ("{adapter: prefix, optimizer: {kind: adamw, head: 3}}", 3),
        ("{adapter: prefix, optimizer: sgd}", 0.1),
    ],
)
def test_a_head_learns_at_the_same_rate_beside_every_adapter(train: str, times: float) -> None:
    small = replace(TICKETS, num_parameters=8_000_000)
    assert value(small, "train.0.optimizer.head", f"train: {train}\n") == times


def test_what_is_written_stands() -> None:
    text = (
        "goal: {task: generate}\nprompt: {template: chat}\n"
        "train:\n  objective: classify\n  adapter: lora\n  duration: 7 steps\n  batch: 3 rows\n  micro_batch: 1 row\n"
        "  optimizer: {lr: 0.5, head: 4}\n  schedule: constant\n  watch: []\n  validate_every: 2 steps\n"
        "  precision: bf16\n"
        "evaluate: {arms: [tuned], metrics: [recall], max_new_tokens: 5}\n"
    )
    spec, written = parse(MINIMAL + text)
    given = spec.model_dump(mode="json")
    filled = resolve(spec, written, TICKETS).spec.model_dump(mode="json")
    for section in ("goal", "prompt", "train", "evaluate"):
        assert filled[section] == given[section]


def test_group_and_label_are_not_both_spread() -> None:
    spec, written = parse("name: a\ndata: {sources: [a], split: {group: customer}}\n")
    assert resolve(spec, written, TICKETS).spec.data.split.stratify is None


def test_what_needs_no_data_is_known_early() -> None:
    early = resolve_early(parse(f"{MINIMAL}goal: {{task: summarize}}\n")[0])
    assert [step.kind for step in early.data.steps or []] == ["clean", "exact_dedup"]
    assert early.prompt.template == "summarize"
    assert resolve_early(parse(MINIMAL)[0]).prompt.template is None
    assert resolve_early(parse("name: a\ndata: {sources: [a], steps: []}\n")[0]).data.steps == []


# Origins ----------------------------------------------------------------------------------------


def leaves(tree: Any, path: str = "") -> list[str]:
    if isinstance(tree, dict) and tree:
        return [leaf for key, below in tree.items() for leaf in leaves(below, f"{path}.{key}".strip("."))]
    if isinstance(tree, list) and tree:
        return [leaf for key, below in enumerate(tree) for leaf in leaves(below, f"{path}.{key}")]
    return [path]


@pytest.mark.parametrize("facts", [TICKETS, CHAT, PROSE, SPANS, replace(TICKETS, family="encoder")])
@pytest.mark.parametrize(
    "text", ["", "train: {adapter: {kind: lora, rank: 4}, watch: [early_stop]}\nprompt: {system: x}\n"]
)
def test_every_value_has_an_origin(facts: Facts, text: str) -> None:
    result = resolved(facts, text)
    assert list(result.origins) == leaves(result.spec.model_dump(mode="json"))
    for path, origin in result.origins.items():
        assert origin == "default" or origin.startswith(("written a.yaml:", "derived: ")), path


def test_a_target_on_retention_takes_the_built_in_abilities() -> None:
    named = resolved(CHAT, "goal: {targets: [{metric: retention, at_least: 0.9}]}\n")
    taken = named.spec.evaluate.retention
    assert taken is not None and taken.sources == list(ABILITIES)
    assert named.origins["evaluate.retention.sources.0"].startswith("derived: ")
    assert resolved(CHAT).spec.evaluate.retention is None


@pytest.mark.parametrize("facts", [TICKETS, CHAT, PROSE, SPANS])
def test_what_is_derived_was_not_written_and_what_is_none_was_not_needed(facts: Facts) -> None:
    result = resolved(facts)
    tree = result.spec.model_dump(mode="json")
    unset = {leaf for leaf in leaves(tree) if _at(tree, leaf) is None and not leaf.startswith("evaluate.metrics.")}
    assert unset <= {
        "evaluate.explain",
        "evaluate.fairness",
        "evaluate.privacy",
        "evaluate.retention",
        "evaluate.robustness",
        "data.sources.0.format",
        "data.sources.0.map",
        "data.sources.0.split",
        "data.split.stratify",
        "data.split.group",
        "data.split.time",
        "data.split.hold_out",
        "data.split.hardest",
        "data.split.fold",
        "evaluate.seeds",
        "data.keep",
        "scale.workers",
        "scale.cluster",
        "scale.instance",
        "scale.price",
        "scale.budget",
        *(f"search.{name}" for name in ("vary", "pruner", "aims", "startup", "looks", "grace", "reduction")),
        "relative_to",
        "data.mixture",
        "data.curriculum",
        "base.revision",
        "prompt.system",
        "train.0.freeze",
        "train.0.regularize.private",
        "train.0.objective.fair_by",
        "train.0.objective.fair_weight",
        "card.intended_use",
        "card.out_of_scope",
        "card.base_tokens",
        "train.0.replay",
        "train.0.regularize.dropout",
        "train.0.regularize.neftune",
        "train.0.regularize.ema",
        "evaluate.folds",
        "evaluate.max_rows",
    }


def _at(tree: Any, path: str) -> Any:
    for key in path.split("."):
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    return tree


def test_origins_say_where_each_value_comes_from() -> None:
    text = "train:\n  adapter: lora\n  optimizer:\n    weight_decay: 0.1\n  schedule: {kind: linear}\n"
    origins = resolved(TICKETS, text).origins
    assert {
        path: origins[f"train.0.{path}"] for path in ("adapter.kind", "optimizer.weight_decay", "schedule.kind")
    } == {
        "adapter.kind": "written a.yaml:4",
        "optimizer.weight_decay": "written a.yaml:6",
        "schedule.kind": "written a.yaml:7",
    }
    assert origins["data.sources.0.path"] == "written a.yaml:2"
    assert origins["train.0.adapter.rank"] == "default"
    assert origins["train.0.optimizer.kind"] == "default", "named by nobody: settings without a kind mean adamw"
    assert origins["train.0.optimizer.eps"] == "default"
    assert origins["train.0.schedule.warmup"] == "default"
    assert origins["train.0.seed"] == "default"
    assert origins["train.0.optimizer.lr"].startswith("derived: an adapter on 8.0M parameters: ten times")
    assert origins["train.0.duration"].startswith("derived: 9,003 training rows")
    assert origins["data.max_length"].startswith("derived: 99 of 100 rows have at most 43 tokens")
    assert origins["train.0.precision"] == "derived: this machine has no fast bf16"


def test_origins_know_the_command_line(tmp_path: Any) -> None:
    from tunesmith.spec.load import load

    (tmp_path / "a.yaml").write_text(f"{MINIMAL}train: {{adapter: lora}}\n")
    spec, written = load(tmp_path / "a.yaml", ["train.adapter.rank=8", "train.optimizer.lr=1"])
    origins = resolve(spec, written, TICKETS).origins
    assert origins["train.0.adapter.rank"] == "written (command line)"
    assert origins["train.0.adapter.kind"] == "written a.yaml:3"
    assert origins["train.0.optimizer.lr"] == "written (command line)"
    assert origins["train.0.optimizer.kind"] == "default"


def test_origins_of_several_stages() -> None:
    origins = resolved(CHAT, "train:\n  - objective: pretrain\n  - seed: 3\n").origins
    assert origins["train.0.objective.kind"] == "written a.yaml:4"
    assert origins["train.1.seed"] == "written a.yaml:5"
    assert origins["train.1.objective.kind"].startswith("derived")


def test_null_is_not_a_written_value() -> None:
    origins = resolved(TICKETS, "train: {adapter: null, duration: null}\n").origins
    assert origins["train.0.adapter.kind"].startswith("derived: 8.0M parameters")
    assert origins["train.0.duration"].startswith("derived")


# The whole --------------------------------------------------------------------------------------


@pytest.mark.parametrize("facts", [TICKETS, CHAT, PROSE, SPANS])
def test_a_resolved_spec_survives_json(facts: Facts) -> None:
    result = resolved(facts)
    again = Resolved.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False)))
    assert again == result


def test_a_resolved_spec_with_parts_that_are_gone_says_which() -> None:
    stored = resolved(TICKETS).to_json()
    stored["spec"]["train"][0]["objective"] = {"kind": "gentle"}
    with pytest.raises(SpecError, match=r"spec\.json train\.0\.objective: no objective 'gentle'"):
        Resolved.from_json(stored)


def test_resolving_is_pure() -> None:
    spec, written = parse(MINIMAL, "a.yaml")
    before = spec.model_dump()
    assert resolve(spec, written, TICKETS) == resolve(spec, written, TICKETS)
    assert spec.model_dump() == before


def test_a_resolved_spec_resolves_to_itself() -> None:
    once = resolved(CHAT).spec
    spec, written = parse(json.dumps(once.model_dump(mode="json")), "a.json")
    assert resolve(spec, written, CHAT).spec == once


facts = st.builds(
    Facts,
    shape=st.sampled_from(["chat", "pair", "label", "spans", "text"]),
    num_train=st.integers(0, 10**8),
    num_labels=st.integers(0, 1000),
    labels_per_record=st.integers(1, 5),
    answer_tokens=st.integers(0, 10**5),
    row_tokens=st.integers(0, 10**6),
    context=st.integers(16, 10**6),
    family=st.sampled_from(["causal", "encoder_decoder"]),
    num_parameters=st.integers(1000, 10**12),
    cuda=st.booleans(),
    bf16=st.booleans(),
)


@given(facts=facts, fresh=st.booleans())
def test_whatever_the_facts_the_result_is_sound(facts: Facts, fresh: bool) -> None:
    if facts.shape == "label":
        facts = replace(facts, num_labels=facts.num_labels + 1)
    spec = resolved(facts, f"base: {{initialize: {'random' if fresh else 'pretrained'}}}\n").spec
    stage = spec.train[0]
    assert stage.optimizer and stage.batch and stage.micro_batch and stage.duration and stage.validate_every
    assert 1e-5 <= stage.optimizer.settings()["lr"] <= 1e-2
    assert spec.data.max_length and spec.data.max_length.value <= facts.context
    assert stage.micro_batch.unit in (stage.batch.unit, "tokens")
    assert stage.micro_batch.unit == "tokens" or stage.micro_batch <= stage.batch
    assert 1 <= stage.duration.value <= 20
    assert spec.evaluate.max_new_tokens and spec.evaluate.max_new_tokens <= facts.context
    assert isinstance(stage.batch, Batch) and isinstance(stage.duration, Duration)


# What cannot be done ----------------------------------------------------------------------------

ENCODER = replace(TICKETS, family="encoder")


@pytest.mark.parametrize(
    ("facts", "text", "said"),
    [
        (replace(CHAT, family="encoder"), "", "train.objective: sft needs a base that writes; this one is an encoder"),
        (replace(PROSE, family="encoder"), "", "train.objective: pretrain needs a base that writes"),
        (
            CHAT,
            "train: {objective: classify}\n",
            "a.yaml:3 train.objective: classify learns from labels, and the rows are",
        ),
        (CHAT, "train: [{}, {objective: tag}]\n", "a.yaml:3 train.1.objective: tag learns from labelled stretches"),
        (PROSE, "train: {objective: sft}\n", "sft learns from answers, and the rows are of shape 'text'"),
        (ENCODER, "evaluate: {arms: [base, tuned]}\n", "a.yaml:3 evaluate.arms.0: base asks the base, and an encoder"),
        (ENCODER, "evaluate: {arms: [few_shot, tuned]}\n", "few_shot asks the base, and an encoder cannot answer"),
        (
            CHAT,
            "evaluate: {arms: [majority, tuned]}\n",
            "a.yaml:3 evaluate.arms.0: majority gives labels, and the rows",
        ),
        (CHAT, "evaluate: {arms: [linear, tuned]}\n", "linear gives labels, and the rows carry none; leave it out"),
        (
            PROSE,
            "evaluate: {arms: [chain_of_thought, tuned]}\n",
            "chain_of_thought asks questions, and the rows are prose",
        ),
        (
            TICKETS,
            "evaluate: {arms: [{kind: prompt, model: tuned}, tuned]}\n",
            "prompt asks the tuned model in words, and its head gives labels",
        ),
        (TICKETS, "evaluate: {arms: [base]}\n", "a.yaml:3 evaluate.arms: the verdict rests on the tuned model"),
        (TICKETS, "train: {watch: [early_stop]}\n", None),
    ],
)
def test_what_cannot_be_done_is_refused_where_it_is_written(facts: Facts, text: str, said: str | None) -> None:
    if said is None:
        resolved(facts, text)
    else:
        assert said in refusal(facts, text)


def test_a_length_beyond_the_base_is_refused() -> None:
    spec, written = parse("name: a\ndata:\n  sources: [a]\n  max_length: 4k tokens\n", "a.yaml")
    with pytest.raises(
        SpecError, match=r"a\.yaml:4 data\.max_length: 4000 tokens are more than the base can read, 1,024"
    ):
        resolve(spec, written, TICKETS)


VIRTUAL = "train: {objective: sft, adapter: {kind: prefix, length: 24}}\n"


def test_virtual_tokens_take_their_place_in_the_context() -> None:
    long = replace(CHAT, row_tokens=5000)
    found = resolved(long, VIRTUAL)
    assert str(found.spec.data.max_length) == f"{long.context - 24} tokens"
    spec, written = parse("name: a\ndata: {sources: [a], max_length: 1024 tokens}\n" + VIRTUAL, "a.yaml")
    with pytest.raises(SpecError) as raised:
        resolve(spec, written, long)
    said = str(raised.value)
    assert (
        "a.yaml:2" in said
        and "1024 tokens are more than the base can read beside 24 virtual ones, 1,000 tokens" in said
    )
    assert str(resolved(CHAT, VIRTUAL).spec.data.max_length) == str(resolved(CHAT, "").spec.data.max_length)


def test_virtual_tokens_that_leave_little_of_the_context_are_refused() -> None:
    resolved(CHAT, VIRTUAL.replace("24", "512"))
    said = refusal(CHAT, VIRTUAL.replace("24", "513"))
    assert "train.adapter.length" in said and "513 virtual tokens leave too little of a context of 1024" in said
    both = refusal(CHAT, VIRTUAL.replace("24", "5000") + "evaluate: {arms: [base]}\n")
    assert "5000 virtual tokens" in both and "the verdict rests on the tuned model" in both


def test_watchers_without_validation_rows_are_refused() -> None:
    text = (
        "name: a\ndata: {sources: [a], split: {train: 0.9, validation: 0, test: 0.1}}\ntrain: {watch: [early_stop]}\n"
    )
    spec, written = parse(text, "a.yaml")
    with pytest.raises(SpecError, match=r"a\.yaml:3 train\.watch: there are no validation rows"):
        resolve(spec, written, TICKETS)


def test_conflicts_come_all_at_once() -> None:
    text = "train: {objective: tag}\nevaluate: {arms: [base, majority, tuned]}\n"
    with pytest.raises(SpecError) as raised:
        resolved(replace(CHAT, family="encoder"), text)
    assert len(raised.value.problems) == 3


@pytest.mark.parametrize(
    ("kind", "times"), [("adamw", 1), ("adamw8bit", 1), ("adam", 1), ("sgd", 100), ("adafactor", 20)]
)
def test_the_learning_rate_is_derived_for_the_optimizer(kind: str, times: float) -> None:
    of_adamw = value(TICKETS, "train.0.optimizer.lr")
    found = value(TICKETS, "train.0.optimizer.lr", f"train: {{optimizer: {kind}}}\n")
    assert found == pytest.approx(times * of_adamw, rel=0.05)


def test_what_may_go_wrong_is_looked_out_for() -> None:
    assert value(CHAT, "train.0.watch.1.kind") == "diagnose"


@pytest.mark.parametrize(
    ("adapter", "small", "answers", "large"),
    [("full", 8e-4, 8e-4, 5e-5), ("lora", 1e-3, 5e-3, 5e-4), ("bottleneck", 1e-3, 5e-3, 5e-4),
     ("qlora", 1e-3, 5e-3, 5e-4), ("ia3", 2e-2, 2e-2, 1e-2), ("prefix", 0.1, 0.1, 5e-2), ("prompt", 2e-2, 2e-2, 1e-2)],
)  # fmt: skip
def test_the_learning_rate_is_derived_for_the_adapter(adapter: str, small: float, answers: float, large: float) -> None:
    """A fresh head and small adapters of high rates are unsteady together; answers alone bear more."""
    for facts, size, rate in (
        (TICKETS, 6_200_000, small), (SPANS, 6_200_000, small), (CHAT, 6_200_000, answers),
        (TICKETS, 100_000_000, large), (CHAT, 100_000_000, large),
    ):  # fmt: skip
        found = value(replace(facts, num_parameters=size), "train.0.optimizer.lr", f"train: {{adapter: {adapter}}}\n")
        assert found == pytest.approx(rate, rel=0.02)
