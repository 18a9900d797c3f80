from __future__ import annotations

import json
import random
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core.core_schema import ErrorType

from tunesmith.errors import SpecError
from tunesmith.spec.document import read_document
from tunesmith.spec.load import Written, load, parse
from tunesmith.spec.outline import fields
from tunesmith.spec.problems import _OTHER_NAMES, _say
from tunesmith.spec.sections import Spec

SPEC = """\
name: support-triage
goal:
  task: classify
  targets:
    - {metric: accuracy, at_least: 0.90}
    - {metric: f1_macro, at_least: 85%, slice: {channel: email}}
    - metric: latency_p95
      at_most: 300 ms
data:
  sources:
    - tickets.jsonl
    - {path: more.csv, weight: 2}
  steps: [clean, exact_dedup]
  split: {train: 0.8, validation: 0.1, test: 0.1, group: customer}
base:
  model: bundled
train:
  objective: classify
  adapter: {kind: lora, rank: 16}
  duration: 3 epochs
  optimizer:
    kind: adamw
    lr: 1e-4
    betas: [0.9, 0.95]
  schedule: {kind: cosine, warmup: 5%}
evaluate:
  slices: [channel]
"""


def problems(text: str, name: str = "a.yaml") -> list[str]:
    with pytest.raises(SpecError) as raised:
        parse(text, name)
    return [str(problem) for problem in raised.value.problems]


def problem(text: str, name: str = "a.yaml") -> str:
    found = problems(text, name)
    assert len(found) == 1, found
    return found[0]


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    return folder / f"{next(iter(files))}.yaml"


MINIMAL = "name: a\ndata: {sources: [a.jsonl]}\n"


# What is read -----------------------------------------------------------------------------------


def test_a_spec_is_read_with_the_line_of_every_value() -> None:
    spec, written = parse(SPEC, "triage.yaml")
    assert spec.name == "support-triage"
    assert spec.goal.targets[1].slice == {"channel": "email"}
    assert [str(target.at_least or target.at_most) for target in spec.goal.targets] == ["0.9", "0.85", "300 ms"]
    assert [source.path for source in spec.data.sources] == ["tickets.jsonl", "more.csv"]
    assert spec.train[0].optimizer is not None
    assert spec.train[0].optimizer.settings()["lr"] == 1e-4
    assert spec.train[0].optimizer.settings()["betas"] == [0.9, 0.95]
    assert {path: written.lines[path] for path in ("name", "goal.targets.2.at_most", "data.sources.1.weight")} == {
        "name": "triage.yaml:1",
        "goal.targets.2.at_most": "triage.yaml:8",
        "data.sources.1.weight": "triage.yaml:12",
    }
    assert written.lines["train.optimizer.betas.1"] == "triage.yaml:24"
    assert (written.text, written.path) == (SPEC, Path("triage.yaml"))
    assert written.where("train.0.optimizer.lr") == "triage.yaml:23 train.optimizer.lr"
    assert written.where("train.0.optimizer.eps") == "triage.yaml:21 train.optimizer.eps"
    assert written.where("prompt.template") == "triage.yaml prompt.template"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        (".5", 0.5),
        ("-3", -3),
        ("+4", 4),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("Yes", "Yes"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
        (".inf", float("inf")),
        ("=", "="),
        ("'1'", "1"),
        ('"a\\tb"', "a\tb"),
        ("|\n  one\n  two\n", "one\ntwo\n"),
        ("[1, a, {b: no}]", [1, "a", {"b": "no"}]),
    ],
)
def test_values_are_yaml_1_2(text: str, value: Any) -> None:
    document = read_document(f"x: {text}")
    assert not document.faults
    assert document.tree == {"x": value}
    assert type(document.tree["x"]) is type(value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(
    tree=st.dictionaries(st.text(min_size=1, max_size=8), values, max_size=4), indent=st.sampled_from([None, 2, "\t"])
)
def test_json_is_read_as_json_reads_it(tree: dict[str, Any], indent: Any) -> None:
    document = read_document(json.dumps(tree, indent=indent), is_json=True)
    assert not document.faults
    assert document.tree == tree


def test_a_json_spec_has_lines_too(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{\n\t"name": "a",\n\t"data": {"sources": ["a.jsonl"]},\n\t"bas": {}\n}')
    with pytest.raises(SpecError, match=r"a\.json:4 bas: no field 'bas' \(did you mean 'base'\?\)"):
        load(tmp_path / "a.json")


@pytest.mark.parametrize("train", ["{seed: 3}", "[{seed: 3}]"])
def test_one_stage_needs_no_list(train: str) -> None:
    spec, _ = parse(f"{MINIMAL}train: {train}")
    assert [stage.seed for stage in spec.train] == [3]


def test_stages_run_in_sequence() -> None:
    spec, written = parse(f"{MINIMAL}train:\n  - objective: pretrain\n  - objective: sft\n")
    assert [stage.objective.kind for stage in spec.train if stage.objective] == ["pretrain", "sft"]
    assert written.lines["train.1.objective"] == "<spec>:5"


def test_specs_are_frozen() -> None:
    spec, _ = parse(MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "b"  # type: ignore[misc]


def test_the_dumped_spec_reads_as_the_same_spec() -> None:
    spec, _ = parse(SPEC)
    assert parse(json.dumps(spec.model_dump(mode="json")), "a.json")[0] == spec


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a.yaml: is empty"),
        ("# nothing\n", "a.yaml: is empty"),
        ("- a\n- b\n", "a.yaml:1: a spec is made of `key: value` lines (name, data, ...), not a list"),
        ("\njust words\n", "a.yaml:2: a spec is made of `key: value` lines (name, data, ...), not a single value"),
        ("42", "not a single value"),
        (f"{MINIMAL}---\nname: b\n", "a.yaml:3: a second document starts here"),
        (f"%YAML 1.1\n---\n{MINIMAL}", "a.yaml:2: specs are YAML 1.2"),
        ("name: a\n\tdata: b\n", "a.yaml:2: this is not YAML: indent with spaces"),
        ("name: a\ndata: [a, b\n", "never closed"),
        ("name: 'a\n", "a quote is opened and never closed"),
        ("name: a: b\n", "a.yaml:1: this is not YAML: a colon too many"),
        ("name: @a\n", "in quotes"),
        ("name: a\n  data: b\n", "a.yaml:2: this is not YAML"),
        ("name: a\ndata:\n  sources: [a]\n split: {}\n", "a.yaml:4: this is not YAML: this line does not line up"),
        ("name: {{ text }}\n", "a.yaml:1: a key here is not a word"),
        ("? [a]\n: b\n", "a key here is not a word"),
        ("<<: {name: a}\n", "a key here is not a word"),
        ("name: a\x07b\n", "a.yaml:1: holds a character that may not stand in a text file (U+0007)"),
        ("x: " + "[" * 50, "nested more than 32 levels deep"),
        ("a: " + "b" * 300_000, "a spec has at most 200,000"),
    ],
)
def test_what_is_no_spec_is_said_in_one_line(text: str, said: str) -> None:
    assert said in problem(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"name": "a",}', "a.json:1: this is not JSON"),
        ('{"name": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "nested"),
        ('{"name": ' + "9" * 5000 + "}", "too many digits"),
        ("", "this is not JSON"),
    ],
)
def test_what_is_no_json_is_said_in_one_line(text: str, said: str) -> None:
    assert said in problem(text, "a.json")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("name: b", "a.yaml:3 name: stands twice, first on line 1; keep one of them"),
        ("base: &x {model: bundled}", "a.yaml:3 base: leave the anchor &x out"),
        ("base: *x", "a.yaml:3 base: write the value again: references (*x) are not followed"),
        ("base: !!python/object:os.system {}", "a.yaml:3 base: leave the tag '!!python/object:os.system' out"),
        ("base: {model: !env HOME}", "a.yaml:3 base.model: leave the tag '!env' out"),
        ("12: b", "a.yaml:3 12: keys are text: write '12' in quotes"),
        ("true: b", "keys are text"),
        ('base: {model: "\\ud800"}', "a.yaml:3 base.model: holds half of a character"),
        ("base: {model: " + "9" * 5000 + "}", "a.yaml:3 base.model: is a number of too many digits"),
    ],
)
def test_what_yaml_allows_and_specs_do_not(line: str, said: str) -> None:
    assert said in problem(f"{MINIMAL}{line}\n")


def test_the_billion_laughs_are_not_laughed() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    assert len(problems("\n".join(lines))) > 100


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "promt: {}",
            "a.yaml:3 promt: no field 'promt' (did you mean 'prompt'?); known here: base, card, data, evaluate",
        ),
        ("goal: {task: classfy}", "a.yaml:3 goal.task: 'classfy' is not one of its values (did you mean 'classify'?)"),
        (
            "goal:\n  targets:\n    - metric: accuracy\n      at_leats: 0.9",
            "a.yaml:6 goal.targets.0.at_leats: no field 'at_leats' (did you mean 'at_least'?)",
        ),
        ("goal: {targets: [{metric: acuracy, at_least: 1}]}", "no metric 'acuracy' (did you mean 'accuracy'?)"),
        ("goal: {targets: [{metric: {kind: f1, lable: x}, at_least: 1}]}", "metric.lable: no field 'lable' (did you"),
        ("goal: {targets: [{metric: accuracy}]}", "targets.0: give exactly one of at_least and at_most"),
        ("goal: {targets: {metric: accuracy}}", "a.yaml:3 goal.targets: write a list: [first, second], not a mapping"),
        (
            "goal: classify",
            "a.yaml:3 goal: write settings: `key: value` lines below it, or {key: value}, not 'classify'",
        ),
        ("train: {objective: stf}", "a.yaml:3 train.objective: no objective 'stf' (did you mean 'sft'?); use one of: "),
        ("train: [{}, {objective: stf}]", "a.yaml:3 train.1.objective: no objective 'stf'"),
        ("train: []", "train: needs at least 1 entry"),
        ("train: lora", "a.yaml:3 train: write settings"),
        (
            "train: {adapter: 5}",
            "train.adapter: write the name of one adapter or {kind: name, ...}; there are: bottleneck, full, ia3, ",
        ),
        ("train: {adapter: {kind: lora, rank: '16'}}", "train.adapter.rank: write a whole number, not '16'"),
        ("train: {adapter: {kind: lora, rank: 16.5}}", "train.adapter.rank: write a whole number, not 16.5"),
        ("train: {adapter: {kind: lora, rank: true}}", "train.adapter.rank: write a whole number, not true"),
        ("train: {adapter: {kind: lora, rank: 0}}", "train.adapter.rank: must be at least 1, not 0"),
        (
            "train: {adapter: {kind: lora, targets: 5}}",
            "not one of its values; write one of: all-linear; or write a list",
        ),
        ("train:\n  optimizer:\n    lr: fast", "a.yaml:5 train.optimizer.lr: write a number, not 'fast'"),
        ("train:\n  optimizer:\n    betas: [0.9]", "a.yaml:5 train.optimizer.betas.1: an entry is missing here"),
        ("train: {optimizer: {betas: 0.9}}", "train.optimizer.betas: write a list: [0.9], not 0.9"),
        ("train: {duration: 3}", "train.duration: 3: its unit is missing; write 3 epochs or 200 steps"),
        ("train: {batch: yes}", "train.batch: 'yes' is not a quantity; write 16 rows or 8k tokens"),
        ("train: {seed: off}", "train.seed: write a whole number, not 'off'"),
        ("train: {watch: early_stop}", "train.watch: write a list: [early_stop], not 'early_stop'"),
        ("train: {precision: fp16}", "train.precision: 'fp16' is not one of its values (did you mean 'bf16'?)"),
        ("base: {model: 5}", 'base.model: write text, in quotes: "5", not 5'),
        ("base: {model: true}", 'base.model: write text, in quotes: "true", not true'),
        ("base: {model: [a]}", "base.model: write text, not a list"),
        ("base: {model: null}", "base.model: write text, not nothing"),
        ("evaluate: {confidence: 2}", "evaluate.confidence: must be below 1.0, not 2"),
        ("evaluate: {slices: [a, {b: c}]}", "evaluate.slices.1: write text, not a mapping"),
        (
            "goal: {targets: [{metric: accuracy, at_least: 1, slice: {year: 2024}}]}",
            'slice.year: write text, in quotes: "2024"',
        ),
        ("prompt: {template: }", None),
        ("train: {lr: 1e-4}", "train.lr: no field 'lr' (did you mean train.optimizer.lr?); known here: adapter, batch"),
        ("rank: 8", "rank: no field 'rank' (did you mean train.adapter.rank?)"),
        ("train: {epochs: 3}", "train.epochs: no field 'epochs' (did you mean train.duration?)"),
        ("train: {adapter: {kind: full, zzz: 1}}", "train.adapter.zzz: no field 'zzz'; known here: none"),
        ("extends: b.yaml", "a.yaml:3 extends: only a spec in a file can extend another"),
    ],
)
def test_every_fault_says_where_and_what_to_write(line: str, said: str | None) -> None:
    if said is None:
        parse(f"{MINIMAL}{line}\n", "a.yaml")
    else:
        assert said in problem(f"{MINIMAL}{line}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a b\ndata: {sources: [x]}\n", "a.yaml:1 name: 'a b' does not fit; it says: The run's name and folder"),
        ("name: ../a\ndata: {sources: [x]}\n", "'../a' does not fit"),
        (
            "name: a\ndata: {}\n",
            "a.yaml:2 data.sources: is missing; it says: Files, folders, addresses, databases or hub ids",
        ),
        ("data: {sources: [x]}\n", "a.yaml name: is missing"),
        ("name: a\ndata: {sources: []}\n", "data.sources: needs at least 1 entry"),
        ("name: a\ndata: {sources: x.csv}\n", "data.sources: write a list: [x.csv], not 'x.csv'"),
        ("name: a\ndata: {sources: [{path: x, weight: 0}]}\n", "data.sources.0.weight: must be above 0.0, not 0"),
        (
            "name: a\ndata: {sources: [{pth: x, path: y}]}\n",
            "data.sources.0.pth: no field 'pth' (did you mean 'path'?)",
        ),
        (
            "name: a\ndata: {sources: [x], split: {train: 0.9}}\n",
            "train, validation and test must add up to 1, not 1.1",
        ),
        ("name: a\ndata: {sources: [x], split: {train: 110%}}\n", "'110%' is more than the whole; write 0.1 or 10%"),
        ("name: a\ndata: {sources: [x], steps: [clen]}\n", "data.steps.0: no step 'clen' (did you mean 'clean'?)"),
    ],
)
def test_faults_of_name_and_data(text: str, said: str) -> None:
    assert said in problem(text)


def test_other_tools_names_lead_to_fields_that_exist() -> None:
    known = {path for path, _ in fields()}
    assert {"train.optimizer.lr", "train.adapter.rank", "data.split.seed", "goal.targets.slice"} <= known
    assert set(_OTHER_NAMES.values()) <= known
    assert not {path.rpartition(".")[2] for path in known} & set(_OTHER_NAMES)


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    text = "nam: a\ngoal: {task: x}\ndata:\n  sources: [a]\n  sources: [b]\n  max_length: 3 rows\ntrain: {seed: a}\n"
    found = problems(text)
    assert [line.partition(": ")[0] for line in found] == [
        "a.yaml name",
        "a.yaml:1 nam",
        "a.yaml:2 goal.task",
        "a.yaml:5 data.sources",
        "a.yaml:6 data.max_length",
        "a.yaml:7 train.seed",
    ]


def test_no_word_of_pydantic_reaches_the_user() -> None:
    """Every error pydantic knows, whatever its context, is put in other words."""
    context = dict.fromkeys(("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length"), 3)
    for kind in typing.get_args(ErrorType):
        for value in ("text", 5, None, ["a"], {"a": 1}):
            details: Any = {
                "type": kind,
                "loc": ("field",),
                "msg": "Input should be a valid thing for pydantic https://errors.pydantic.dev",
                "input": value,
                "ctx": {**context, "error": ValueError("its own words"), "expected": "'a' or 'b'"},
            }
            said = _say(details, Spec, Spec.model_fields["name"])
            assert said
            assert "pydantic" not in said, kind
            assert "Input" not in said, kind
            assert "https" not in said, kind
    assert _say({**details, "type": "fruit", "msg": "not ripe"}, Spec, None) == "not ripe", "a plug-in's own words"


# Files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (SPEC.encode("utf-16"), "is not UTF-8 text"),
        (b"name: sch\xf6n\n", "is not UTF-8 text (byte 9); save it as UTF-8"),
        (b"\x00\x00\x00", "holds a character"),
        (b"", "is empty"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(SpecError) as raised:
        load(tmp_path / "a.yaml")
    assert said in str(raised.value)
    assert "a.yaml" in raised.value.problems[0].where


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path, said in (("b.yaml", "there is no such file"), ("", "is a folder"), ("a\0b.yaml", "cannot be read")):
        with pytest.raises(SpecError, match=said):
            load(tmp_path / path)
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    with pytest.raises(SpecError, match="cannot be read"):
        load(tmp_path / "loop.yaml")
    with pytest.raises(SpecError, match="cannot be read"):
        load(tmp_path / ("x" * 300))


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + SPEC.replace("\n", "\r\n").encode())
    spec, written = load(tmp_path / "a.yaml")
    assert spec == parse(SPEC)[0]
    assert written.lines["train.optimizer.lr"] == "a.yaml:23"
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(spec.model_dump(mode="json")).encode())
    assert load(tmp_path / "a.json")[0] == spec


# Overrides --------------------------------------------------------------------------------------


def overridden(tmp_path: Path, *overrides: str, text: str = SPEC) -> tuple[Spec, Written]:
    return load(write(tmp_path, a=text), overrides)


@pytest.mark.parametrize(
    ("said", "path", "value"),
    [
        ("train.optimizer.lr=2e-4", ("train", 0, "optimizer", "lr"), 2e-4),
        ("train.0.optimizer.lr=2e-4", ("train", 0, "optimizer", "lr"), 2e-4),
        ("train.optimizer={kind: adamw, lr: 1}", ("train", 0, "optimizer", "lr"), 1.0),
        ("train.adapter=full", ("train", 0, "adapter", "kind"), "full"),
        ("train.adapter.rank=8", ("train", 0, "adapter", "rank"), 8),
        ("train.objective=sft", ("train", 0, "objective", "kind"), "sft"),
        ("train.seed=7", ("train", 0, "seed"), 7),
        ("train=[{seed: 1}, {seed: 2}]", ("train", 1, "seed"), 2),
        ("name=other", ("name",), "other"),
        ("data.sources=[b.jsonl]", ("data", "sources", 0, "path"), "b.jsonl"),
        ("data.sources.0=c.jsonl", ("data", "sources", 0, "path"), "c.jsonl"),
        ("data.sources.0.weight=3", ("data", "sources", 0, "weight"), 3.0),
        ("data.sources.1.path=d.jsonl", ("data", "sources", 1, "path"), "d.jsonl"),
        ("data.steps.0.fix_encoding=false", ("data", "steps", 0, "fix_encoding"), False),
        ("goal.targets.0.at_least=0.5", ("goal", "targets", 0, "at_least"), "0.5"),
        ("goal.targets.0.metric.kind=recall", ("goal", "targets", 0, "metric", "kind"), "recall"),
        ("train.schedule.warmup=10%", ("train", 0, "schedule", "warmup"), "10%"),
        ("train.duration=null", ("train", 0, "duration"), None),
        ("prompt.system='a = b'", ("prompt", "system"), "a = b"),
        ("evaluate.max_rows=10", ("evaluate", "max_rows"), 10),
    ],
)
def test_an_override_has_the_last_word(tmp_path: Path, said: str, path: tuple[Any, ...], value: Any) -> None:
    at: Any = overridden(tmp_path, said)[0].model_dump(mode="json")
    for key in path:
        at = at[key]
    assert at == value


def test_an_override_brings_a_part_that_the_file_does_not_name(tmp_path: Path) -> None:
    spec, written = overridden(tmp_path, "train.optimizer.lr=1e-3", "train.schedule.warmup=1%", text=MINIMAL)
    assert spec.train[0].optimizer is not None and spec.train[0].schedule is not None
    assert (spec.train[0].optimizer.kind, spec.train[0].schedule.kind) == ("adamw", "cosine")
    assert written.lines["train.optimizer.lr"] == "command line"


def test_a_bare_name_keeps_its_line_when_a_setting_joins_it(tmp_path: Path) -> None:
    spec, written = overridden(tmp_path, "train.adapter.rank=8", text=f"{MINIMAL}train: {{adapter: lora}}\n")
    assert spec.train[0].adapter is not None
    assert spec.train[0].adapter.settings()["rank"] == 8
    assert (written.lines["train.adapter.kind"], written.lines["train.adapter.rank"]) == ("a.yaml:3", "command line")


def test_replacing_a_whole_leaves_no_lines_of_what_it_held(tmp_path: Path) -> None:
    _, written = overridden(tmp_path, "train.optimizer=adamw")
    assert [path for path in written.lines if path.startswith("train.optimizer")] == ["train.optimizer"]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("train.optimzer.lr=1", "command line train.optimzer: no field 'optimzer' (did you mean 'optimizer'?)"),
        ("train.optimizer.learning=1", "command line train.optimizer.learning: no field 'learning'"),
        ("train.optimizer.lr=fast", "command line train.optimizer.lr: write a number, not 'fast'"),
        ("trian.seed=1", "command line trian: no field 'trian' (did you mean 'train'?)"),
        ("train.duration=3", "command line train.duration: 3: its unit is missing"),
        ("--fast", "command line: '--fast' is not an override; write path.of.field=value"),
        ("=3", "is not an override"),
        ("a..b=3", "is not an override"),
        ("train.seed=", "command line: train.seed= is followed by nothing"),
        ("train.seed=[1", "command line: the value of train.seed: this is not YAML"),
        ("train.seed=*x", "references (*x) are not followed"),
        ("data.sources.5=x", "command line: data.sources.5: the list has 2 entries, the last is number 1"),
        ("data.sources.5.path=x", "the list has 2 entries"),
        ("data.sources.first=x", "a list stands before 'first'; number its entries from 0"),
        ("train.1.seed=3", "command line train.1: no field '1'"),
        ("name.x=3", "command line name: write text, not a mapping"),
    ],
)
def test_an_override_that_leads_nowhere_is_told_so(tmp_path: Path, said: str, problem: str) -> None:
    with pytest.raises(SpecError) as raised:
        overridden(tmp_path, said)
    assert len(raised.value.problems) == 1
    assert problem in str(raised.value)


def test_one_of_several_stages_must_be_named(tmp_path: Path) -> None:
    text = f"{MINIMAL}train: [{{seed: 1}}, {{seed: 2}}]\n"
    spec, _ = overridden(tmp_path, "train.1.seed=5", text=text)
    assert [stage.seed for stage in spec.train] == [1, 5]
    with pytest.raises(SpecError, match=r"train has 2 stages; write train\.0\.seed for the first"):
        overridden(tmp_path, "train.seed=5", text=text)


def test_a_list_of_one_stage_is_as_good_as_the_stage(tmp_path: Path) -> None:
    spec, _ = overridden(tmp_path, "train.seed=5", text=f"{MINIMAL}train: [{{seed: 1}}]\n")
    assert [stage.seed for stage in spec.train] == [5]


def test_problems_of_file_and_command_line_come_together(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as raised:
        overridden(tmp_path, "train.seed=x", "bad", text=f"{MINIMAL}bas: 1\n")
    assert [problem.where for problem in raised.value.problems] == [
        "a.yaml:3 bas",
        "command line",
        "command line train.seed",
    ]


# Extends ----------------------------------------------------------------------------------------


def test_a_spec_takes_from_the_one_it_extends_what_it_does_not_say(tmp_path: Path) -> None:
    child = "extends: parent.yaml\nname: child\ndata: {sources: [c.jsonl]}\ntrain:\n  adapter: {rank: 4}\n  seed: 1\n"
    parent = (
        "name: parent\ndata:\n  sources: [p.jsonl, q.jsonl]\n  too_long: drop\n"
        "train:\n  adapter: lora\n  duration: 2 epochs\n"
    )
    spec, written = load(write(tmp_path, child=child, parent=parent))
    assert spec.name == "child"
    assert [source.path for source in spec.data.sources] == ["c.jsonl"], "lists are replaced"
    assert spec.data.too_long == "drop"
    assert str(spec.train[0].duration) == "2 epochs"
    assert spec.train[0].adapter is not None
    assert spec.train[0].adapter.settings()["rank"] == 4
    assert {
        path: written.lines[path] for path in ("name", "data.too_long", "train.duration", "train.adapter.rank")
    } == {
        "name": "child.yaml:2",
        "data.too_long": "parent.yaml:4",
        "train.duration": "parent.yaml:7",
        "train.adapter.rank": "child.yaml:5",
    }
    assert written.lines["train.adapter.kind"] == "parent.yaml:6"
    assert written.text == child
    assert written.path == tmp_path / "child.yaml"
    assert "extends" not in written.tree


def test_settings_join_the_part_that_the_parent_names(tmp_path: Path) -> None:
    parent = f"{MINIMAL}train: {{objective: classify}}\n"
    spec, written = load(
        write(tmp_path, child="extends: parent.yaml\ntrain: {objective: {label_smoothing: 0.1}}\n", parent=parent)
    )
    assert spec.train[0].objective is not None
    assert spec.train[0].objective.settings() == {
        "kind": "classify",
        "label_smoothing": 0.1,
        "fair_by": None,
        "fair_aim": "equalized_odds",
        "fair_how": "penalty",
        "fair_weight": None,
    }
    assert written.lines["train.objective.kind"] == "parent.yaml:3"


def test_another_part_takes_nothing_from_the_parents_part(tmp_path: Path) -> None:
    parent = f"{MINIMAL}train: {{adapter: {{kind: lora, rank: 4}}}}\n"
    spec, _ = load(write(tmp_path, child="extends: parent.yaml\ntrain: {adapter: {kind: full}}\n", parent=parent))
    assert spec.train[0].adapter is not None
    assert spec.train[0].adapter.settings() == {"kind": "full"}


def test_null_undoes_what_the_parent_says(tmp_path: Path) -> None:
    parent = f"{MINIMAL}train: {{duration: 2 epochs}}\n"
    spec, _ = load(write(tmp_path, child="extends: parent.yaml\ntrain: {duration: null}\n", parent=parent))
    assert spec.train[0].duration is None


def test_problems_of_the_parent_are_located_in_it(tmp_path: Path) -> None:
    child = "extends: parent.yaml\nname: child\nbas: 1\n"
    with pytest.raises(SpecError) as raised:
        load(write(tmp_path, child=child, parent="data:\n  sources: [a]\n  sources: [b]\ntrain: {seed: x}\n"))
    assert [problem.where for problem in raised.value.problems] == [
        "child.yaml:3 bas",
        "parent.yaml:3 data.sources",
        "parent.yaml:4 train.seed",
    ]


@pytest.mark.parametrize(
    ("parent", "said"),
    [
        ("none.yaml", "child.yaml:1 extends: 'none.yaml' there is no such file"),
        ("/etc/hostname", "must lie in the folder of this spec"),
        ("../parent.yaml", "must lie in the folder of this spec"),
        ("sub/../../parent.yaml", "must lie in the folder of this spec"),
        ("link.yaml", "must lie in the folder of this spec"),
        ("loop.yaml", "extends"),
        ("child.yaml", "'child.yaml' itself extends 'child.yaml'; only one level is followed"),
        ("[parent.yaml]", "write the name of a spec file, not a list"),
        ("5", "write the name of a spec file, not 5"),
        ("'a\\0b'", "extends"),
        ("list.yaml", "list.yaml:1: a spec is made of"),
        (".", "'.' is a folder"),
    ],
)
def test_what_cannot_be_extended(tmp_path: Path, parent: str, said: str) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    (tmp_path / "parent.yaml").write_text(MINIMAL)
    (folder / "link.yaml").symlink_to(tmp_path / "parent.yaml")
    (folder / "loop.yaml").symlink_to(folder / "loop.yaml")
    (folder / "list.yaml").write_text("[1]")
    with pytest.raises(SpecError) as raised:
        load(write(folder, child=f"extends: {parent}\n{MINIMAL}"))
    assert said in str(raised.value)


def test_a_parent_may_lie_below(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "p.yaml").write_text("data: {sources: [a.jsonl], too_long: dorp}\n")
    with pytest.raises(SpecError, match=r"base/p\.yaml:1 data\.too_long"):
        load(write(tmp_path, child="extends: base/p.yaml\nname: child\n"))


# Whatever is written ----------------------------------------------------------------------------

PIECES = [
    "null", "true", "no", "-1", "1e400", "1e-4", ".nan", "[]", "{}", "''", "x", "'\\0'", "3 epochs", "[[]]",
    "{kind: 5}",
    "{kind: lora, kind: full}", "&a 1", "*a", "!!set {a}", "{? a}", "|", "- - -", "\t", "\x00", "\ud800", "%", "@", "`",
    "9" * 400, "{a: {b: {c: {d: 1}}}}", "lora", "kind: sft", "- sft", "# x", "---", "...", "é", "🙂", ": ", "? ",
    "<<: *a",
]  # fmt: skip


def mutated(draw: random.Random) -> str:
    lines = SPEC.splitlines()
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(lines))
        key, colon, _ = lines[at].partition(":")
        piece = draw.choice(PIECES)
        lines[at : at + 1] = draw.choice(
            [
                [f"{key}{colon} {piece}"],
                [lines[at], lines[at]],
                [],
                [lines[at].replace(draw.choice(lines[at] or "x"), piece, 1)],
                [lines[at], f"{' ' * draw.randint(0, 6)}{piece}"],
                [lines[at][: draw.randint(0, len(lines[at]))]],
                [f"{lines[at]}{draw.choice('xyz_:,]}')}"],
            ]
        )
    return "\n".join(lines)


def test_mutated_specs_are_specs_or_spec_errors(tmp_path: Path) -> None:
    """Four hundred specs damaged in one to three places; no other exception, and a message for each."""
    draw, refused = random.Random(0), 0
    for _ in range(400):
        text = mutated(draw)
        (tmp_path / "a.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            load(tmp_path / "a.yaml")
        except SpecError as error:
            refused += 1
            assert error.problems
            for found in error.problems:
                assert found.where.startswith("a.yaml"), text
                assert found.what and "pydantic" not in found.what and "Input should" not in found.what, found
    assert 200 < refused < 400


@given(text=st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_a_spec_error(text: str) -> None:
    for name in ("a.yaml", "a.json"):
        with pytest.raises(SpecError):
            parse(text, name)


@given(
    value=values,
    path=st.sampled_from(["name", "goal", "data", "train", "train.0", "train.optimizer", "evaluate.slices.0"]),
)
def test_any_override_is_a_spec_or_a_spec_error(
    tmp_path_factory: pytest.TempPathFactory, value: Any, path: str
) -> None:
    from tunesmith.spec.draft import draft_of
    from tunesmith.spec.overrides import OverrideError, override

    draft = draft_of(SPEC, "a.yaml")
    try:
        override(draft.tree, draft.lines, f"{path}={json.dumps(value)}")
    except OverrideError as error:
        assert str(error)


def test_licences_are_of_sources(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"which is none of data\.sources"):
        load(write(tmp_path, child=MINIMAL + "card: {licences: {other.jsonl: MIT}}\n"))
