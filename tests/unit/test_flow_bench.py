"""The bench: every arm of a run on a tiny model, an endpoint among them, and an evaluation that was stopped."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.desk import make_desk
from tests.unit.test_models_remote import completion, endpoint

from tunesmith.data.encode.tokenize import Codec
from tunesmith.errors import Interrupted, SpecError, UserError
from tunesmith.evaluate.predict.stored import read_predictions
from tunesmith.flow.evaluation import bench as module
from tunesmith.flow.run import run
from tunesmith.models.load import open_model
from tunesmith.records import Prediction
from tunesmith.report.asked import read_asked
from tunesmith.runs import read_json
from tunesmith.testing.tiny import tiny_model

SHORT = ["train.duration=2 steps", "goal.targets=[]", "evaluate.max_rows=8", "evaluate.max_new_tokens=4"]
WORDS = ["train.objective=sft", *SHORT]


def arms(*written: str) -> str:
    return f"evaluate.arms=[{', '.join(written)}, tuned]"


def evaluated(spec: Path, *changes: str) -> Path:
    return run(spec, [*SHORT, *changes], spec.parent, until="evaluate").run.path / "evaluation"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_desk(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def asked_in_words(desk: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A run that answers in words, with every arm there is; and what the endpoint was asked."""

    def answer(number: int, body: dict[str, Any]) -> Any:
        colour = re.findall(r"is (\w+)", body["messages"][-1]["content"])[0]
        return completion(f"I would say: {'Warm' if colour in ('red', 'orange', 'yellow') else 'cold'}.")

    with endpoint(answer) as (address, calls):
        found = evaluated(
            desk,
            *WORDS,
            arms(
                "base",
                "majority",
                "linear",
                "{kind: prompt, rows: 5}",
                "{kind: few_shot, examples: 1}",
                "{kind: chain_of_thought, max_new_tokens: 8}",
                f"{{kind: model, model: '{address}#m', called: bought}}",
                "{kind: model, model: ./base, called: folder}",
            ),
            "evaluate.metrics=[accuracy, latency_p50]",
        )
    return found, calls


def answers(folder: Path, arm: str) -> list[Prediction]:
    return read_predictions(folder / f"predictions-{arm}.parquet")


def test_every_arm_answers_the_same_rows(asked_in_words: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, _ = asked_in_words
    compared = read_json(folder / "comparison.json")
    named = ["base", "majority", "linear", "prompt", "few_shot", "chain_of_thought", "bought", "folder", "tuned"]
    assert compared["arms"] == named and compared["num_rows"] == 8
    ids = [row.record.id for row in answers(folder, "tuned")]
    assert all([row.record.id for row in answers(folder, arm)] == ids for arm in named)
    assert list(compared["measures"][0]["differences"]) == named[:-1]
    # The commonest label takes no time, so it has no latency; all others do.
    timed = {arm: estimate["value"] for arm, estimate in compared["measures"][1]["arms"].items()}
    assert [arm for arm, value in timed.items() if value is None] == ["majority"]


def test_an_endpoint_is_asked_by_the_specs_prompt_and_its_label_is_read(
    asked_in_words: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, calls = asked_in_words
    made = answers(folder, "bought")
    assert [row.output for row in made] == [row.expected for row in made]
    # Eight rows, then the same eight again to be timed, and one more to warm up.
    assert len(calls) == 17
    assert calls[0]["messages"][-1]["content"].endswith("Which of these is it: cold, warm?")
    assert (calls[0]["max_tokens"], calls[0]["temperature"]) == (4, 0.0)
    assert "bought" not in json.dumps(calls)


def test_the_base_by_its_folder_answers_as_the_base(asked_in_words: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, _ = asked_in_words
    base, other = answers(folder, "base"), answers(folder, "folder")
    assert [row.output for row in base] == [row.output for row in other]
    for row, same in zip(base, other, strict=True):
        assert dict(row.scores) == pytest.approx(dict(same.scores), rel=1e-4)


def test_what_arms_found_is_kept(asked_in_words: tuple[Path, list[dict[str, Any]]]) -> None:
    found = {arm: kept["found"] for arm, kept in read_json(asked_in_words[0] / "arms.json").items()}
    assert found["few_shot"] == {"examples_a_row": 1.0, "left_out_for_room": 0}
    assert found["chain_of_thought"]["rows"] == 8
    assert len(found["prompt"]["variants"]) == 6 and found["prompt"]["metric"] == "accuracy"
    assert found["linear"]["features"] > 10


def test_examples_that_do_not_fit_are_left_out_and_counted(desk: Path) -> None:
    """Whole examples go, the farthest first; the question stays whole."""
    seen: list[list[str]] = []
    fitted = module.Bench._fitted

    def spy(self: Any, rows: Any, asking: Any, model: Any, room: int) -> Any:
        made = fitted(self, rows, asking, model, 90)
        for record in made:
            assert len(Codec(model.tokenizer, need="chat", family=model.family, max_length=10**6, too_long="truncate")
                       .prompt_ids(record)) <= 90  # fmt: skip
            seen.append([turn.content for turn in record.messages])
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.Bench, "_fitted", spy)
        folder = evaluated(desk, *WORDS, arms("{kind: few_shot, examples: 12}"))
    found = read_json(folder / "arms.json")["few_shot"]["found"]
    assert 0 < found["examples_a_row"] < 12
    assert found["left_out_for_room"] == 8 * 12 - round(found["examples_a_row"] * 8)
    assert all(turns[-2].startswith("item") and len(turns) % 2 == 0 for turns in seen)


def test_a_tuned_head_is_held_against_earlier_runs(desk: Path) -> None:
    """A run that classifies by a head, and an earlier one as an arm: asked as it was trained."""
    first = evaluated(desk, "name=earlier", "evaluate.arms=[tuned]")
    second = evaluated(desk, "name=later", arms("{kind: model, model: 'run:earlier/1'}"))
    ours, theirs = answers(first, "tuned"), answers(second, "model")
    assert [row.output for row in ours] == [row.output for row in theirs]
    assert [dict(row.scores) for row in ours] == [pytest.approx(dict(row.scores), rel=1e-5) for row in theirs]
    assert theirs[0].record == ours[0].record


def test_a_model_with_a_head_cannot_be_asked_anew(desk: Path) -> None:
    evaluated(desk, "name=earlier", "evaluate.arms=[tuned]")
    with pytest.raises(UserError, match="classify head cannot be asked in words"):
        evaluated(desk, arms("{kind: few_shot, model: 'run:earlier/1'}"))
    with pytest.raises(SpecError, match="its head gives labels"):
        evaluated(desk, arms("{kind: few_shot, model: tuned}"))


def test_temperature_draws_other_answers(desk: Path) -> None:
    model = open_model(str(desk.parent / "base"), workspace=desk.parent)
    assert model.head is None
    changes = ["train.objective=sft", "goal.task=answer", "data.sources=[qa.jsonl]", "evaluate.metrics=[exact_match]"]
    (desk.parent / "qa.jsonl").write_text(
        "".join(json.dumps({"question": f"what is {n}?", "answer": f"it is {n}"}) + "\n" for n in range(40))
    )
    folder = evaluated(
        desk,
        *changes,
        "evaluate.slices=[]",
        arms(
            "base",
            "{kind: prompt, templates: ['{{ text }}'], temperatures: [1.5], called: hot}",
            "{kind: prompt, templates: ['{{ text }}'], temperatures: [0.0], called: cold}",
        ),
    )
    base, hot, cold = ([row.output for row in answers(folder, arm)] for arm in ("base", "hot", "cold"))
    assert base == cold != hot


def test_metrics_get_what_they_ask_for(desk: Path) -> None:
    """Models to ask, answers drawn of the rows that are reported, tests from columns, counts of tokens."""
    rows = [
        {"question": f"add {n}", "answer": f"say = {n}", "tests": f"assert say == {n}", "noted": n} for n in range(40)
    ]
    (desk.parent / "code.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    metrics = (
        "{kind: bertscore, model: ./base}",
        "{kind: pass_at_k, samples: 3, k: 2}",
        "{kind: cost_per_1000, per_million_read: 1, per_million_written: 2}",
    )
    changes = [
        *("name=measured", "train.objective=sft", "goal.task=answer", "data.sources=[code.jsonl]"),
        *("evaluate.slices=[]", "goal.targets=[{metric: {kind: bertscore, model: ./base}, at_most: 1.0}]"),
        f"evaluate.metrics=[{', '.join(metrics)}]",
        arms("{kind: prompt, templates: ['{{ text }}', 'Say: {{ text }}'], rows: 2}"),
    ]
    folder = evaluated(desk, *changes)
    found = read_json(folder / "comparison.json")["measures"]
    assert [measure["name"].split("(")[0] for measure in found] == ["bertscore", "pass_at_k", "cost_per_1000"]
    assert all(measure["arms"][arm]["value"] is not None for measure in found for arm in ("prompt", "tuned"))
    assert all(len(row.samples) == 3 for row in answers(folder, "tuned"))
    target = read_json(folder / "verdict.json")["targets"][0]
    assert target["outcome"] == "met" and target["value"] == found[0]["arms"]["tuned"]["value"]


@pytest.mark.parametrize("tells", [True, False])
def test_an_endpoint_draws_answers_and_tells_what_they_cost(desk: Path, tells: bool) -> None:
    """Each answer of a row is drawn with a seed of its own; tokens are counted by the endpoint or not at all."""
    rows = [
        {"question": f"add {n}", "answer": f"say = {n}", "tests": f"assert say == {n}", "noted": n} for n in range(40)
    ]
    (desk.parent / "sold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def answer(number: int, body: dict[str, Any]) -> Any:
        wanted = re.findall(r"add (\d+)", body["messages"][-1]["content"])[-1]
        right = body["temperature"] == 0 or body["seed"] == 1
        usage = {"prompt_tokens": 1000, "completion_tokens": 500} if tells else None
        return completion(f"say = {wanted}" if right else "say = -1", usage)

    with endpoint(answer) as (address, calls):
        folder = evaluated(
            desk,
            *(f"name=sold{tells}", "train.objective=sft", "goal.task=answer", "data.sources=[sold.jsonl]"),
            *("evaluate.slices=[]", "evaluate.max_rows=4"),
            "evaluate.metrics=[{kind: pass_at_k, samples: 3, k: 1}, "
            "{kind: cost_per_1000, per_million_read: 1, per_million_written: 2}, tokens_per_second]",
            arms(f"{{kind: model, model: '{address}#m', called: bought}}"),
        )
    found = {name.split("(")[0]: arms["bought"] for name, arms in (
        (measure["name"], measure["arms"]) for measure in read_json(folder / "comparison.json")["measures"]
    )}  # fmt: skip
    assert [len(set(row.samples)) for row in answers(folder, "bought")] == [2, 2, 2, 2]
    assert found["pass_at_k"]["value"] == pytest.approx(1 / 3), "of three seeds one is right"
    drawn = [call for call in calls if call["temperature"] > 0]
    assert sorted(call["seed"] for call in drawn) == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    assert {call["top_p"] for call in drawn} == {0.95}
    assert found["cost_per_1000"]["value"] == (pytest.approx(2.0) if tells else None)
    assert (found["tokens_per_second"]["value"] is not None) == tells
    noted = read_json(folder / "arms.json")["bought"]["found"]
    assert ("tokens" in noted) == (not tells)
    assert (not tells) == ("tokens: the endpoint does not tell" in " ".join(
        f"{name}: {value}" for name, value in read_asked(read_json(folder / "arms.json"))["bought"].facts()
    ))  # fmt: skip


def test_arms_that_have_answered_are_not_asked_again(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation that is stopped in its last arm goes on with that one."""
    changes = ["name=stopped", arms("base", "linear")]
    asked: list[str] = []
    plain = module.Bench.ask

    def stops(self: Any, model: str, rows: Any, asking: Any = None) -> Any:
        asked.append(model)
        if model == "tuned" and asked.count("tuned") == 1:
            raise Interrupted("stopped")
        return plain(self, model, rows, asking)

    monkeypatch.setattr(module.Bench, "ask", stops)
    with pytest.raises(Interrupted):
        evaluated(desk, *changes)
    folder = evaluated(desk, *changes)
    assert asked == ["base", "tuned", "tuned"]
    assert list(read_json(folder / "arms.json")) == ["base", "linear", "tuned"]


def test_two_arms_of_one_name_are_refused(desk: Path) -> None:
    with pytest.raises(SpecError, match="two arms are called 'few_shot'; tell them apart with `called: another-name`"):
        evaluated(desk, arms("few_shot", "{kind: few_shot, examples: 2}"))


def test_other_seeds_show_how_far_models_lie_apart(desk: Path) -> None:
    """The model that ships is that of the written seed; the others are runs of their own on the same rows."""
    alone = evaluated(desk, "name=seeded", "train.seed=5")
    folder = evaluated(desk, "name=seeded", "train.seed=5", "evaluate.seeds=3")
    first, found = (read_json(each / "comparison.json")["measures"][0] for each in (alone, folder))
    assert first["seeds"] is None and first["arms"] == found["arms"]
    assert found["seeds"]["values"][0] == found["arms"]["tuned"]["value"]
    assert len(found["seeds"]["values"]) == 3 and found["seeds"]["interval"] is not None
    runs = desk.parent / "runs"
    seeds = [
        read_json(runs / f"seeded.seed-{number}" / "1" / "spec.json")["spec"]["train"][0]["seed"] for number in (2, 3)
    ]
    assert seeds == [6, 7]
    others = [
        read_predictions(folder.parent / "seeds" / str(number) / "predictions-tuned.parquet") for number in (2, 3)
    ]
    assert [[row.record.id for row in rows] for rows in others] == [
        [row.record.id for row in answers(folder, "tuned")]
    ] * 2
    scores = [[dict(row.scores) for row in rows] for rows in (answers(folder, "tuned"), *others)]
    assert scores[0] != scores[1] != scores[2]


def test_folds_and_seeds_do_not_go_together(desk: Path) -> None:
    with pytest.raises(SpecError, match="leave seeds out, or folds"):
        evaluated(desk, "evaluate.seeds=2", "evaluate.folds=2")


def test_other_weights_under_the_same_name_are_asked_anew(desk: Path) -> None:
    """What an arm said is kept for as long as its model is what it was; nothing is trained again for it."""
    tiny_model(desk.parent / "other", seed=1)
    changes = ["name=others", *WORDS, arms("{kind: model, model: ./other}")]
    first = evaluated(desk, *changes)
    assert evaluated(desk, *changes) == first
    shutil.rmtree(desk.parent / "other")
    tiny_model(desk.parent / "other", seed=2)
    second = evaluated(desk, *changes)
    assert second != first
    before, after = ([dict(row.scores) for row in answers(each, "model")] for each in (first, second))
    assert before != after
    assert '"borrowed"' in (second.parent / "events.jsonl").read_text("utf-8")
    assert [row.output for row in answers(first, "tuned")] == [row.output for row in answers(second, "tuned")]


@pytest.mark.parametrize("model", ["./nowhere", "run:nobody/1", "https://host/v1"])
def test_a_model_that_is_not_there_is_told_before_anything_is_trained(desk: Path, model: str) -> None:
    with pytest.raises(UserError):
        evaluated(desk, "name=nobody", arms(f"{{kind: model, model: '{model}'}}"))
    assert not (desk.parent / "runs" / "nobody").exists()
