"""A resumed training ends in the same weights, bit for bit, wherever it was stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from train_tiny import causal, encoder, rows, stage, train, weights_of

from tunesmith.errors import GateFailed, Interrupted
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.loop import fit
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.watchers.early_stop import EarlyStop

EXAMPLES = rows(14)
VALIDATION = rows(5, seed=1)


def settings(precision="fp32"):
    return stage(
        duration="3 epochs", micro_batch="3 rows", validate_every="5 steps", precision=precision,
        watch=[EarlyStop(patience=50)],
    )  # fmt: skip


def whole(folder, precision="fp32"):
    model = causal(dropout=0.2)
    steps = train(folder, model, EXAMPLES, train=settings(precision), validation=VALIDATION, save_every=0.0)
    return model, steps


def same(steps, others):
    return [(s.number, s.loss, s.grad_norm, s.validation, s.best) for s in steps] == [
        (s.number, s.loss, s.grad_norm, s.validation, s.best) for s in others
    ]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resuming_after_every_step_is_bit_equal(tmp_path, precision):
    reference, steps = whole(tmp_path / "whole", precision)
    assert len(steps) == 12, "3 epochs of 14 rows, 4 a step"
    for stop_after in range(1, len(steps)):
        folder = tmp_path / f"stopped-{stop_after}"
        first = train(
            folder, causal(dropout=0.2), EXAMPLES, train=settings(precision), validation=VALIDATION, save_every=0.0,
            steps=stop_after,
        )  # fmt: skip
        torch.manual_seed(999)  # a new process has other random numbers
        model = causal(dropout=0.2)
        rest = train(folder, model, EXAMPLES, train=settings(precision), validation=VALIDATION, save_every=0.0)
        assert same(first + rest, steps), f"stopped after {stop_after}"
        for name, weight in weights_of(reference).items():
            assert torch.equal(weight, weights_of(model)[name]), f"{name}, stopped after {stop_after}"


def test_dropout_matters_here(tmp_path):
    # Otherwise the test above would not notice lost random numbers.
    still = causal(dropout=0.0)
    train(tmp_path / "a", still, EXAMPLES, train=settings(), validation=VALIDATION)
    noisy, _ = whole(tmp_path / "b")
    assert any(not torch.equal(w, weights_of(noisy)[n]) for n, w in weights_of(still).items())


def test_how_often_is_saved_does_not_change_results(tmp_path):
    often, steps = whole(tmp_path / "often")
    model = causal(dropout=0.2)
    seldom = train(tmp_path / "seldom", model, EXAMPLES, train=settings(), validation=VALIDATION, save_every=1e9)
    assert [step.saved for step in steps] == [True] * 12
    assert [step.number for step in seldom if step.saved] == [5, 10, 12]
    assert same(steps, seldom)
    assert all(torch.equal(w, weights_of(model)[n]) for n, w in weights_of(often).items())


def test_validation_does_not_disturb_training(tmp_path):
    def loud():
        torch.rand(7)
        return {"something": 1.0}

    _, steps = whole(tmp_path / "quiet")
    model = causal(dropout=0.2)
    others = train(tmp_path / "loud", model, EXAMPLES, train=settings(), validation=VALIDATION, validate=loud)
    assert [s.loss for s in steps] == [s.loss for s in others]
    assert others[-1].validation == {**steps[-1].validation, "something": 1.0}


def test_a_finished_training_does_nothing_more(tmp_path):
    reference, _ = whole(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    model = causal(seed=5)
    assert train(tmp_path, model, EXAMPLES, train=settings(), validation=VALIDATION) == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert all(torch.equal(w, weights_of(model)[n]) for n, w in weights_of(reference).items())


def test_an_early_stopped_training_stays_stopped_and_keeps_its_best(tmp_path):
    figures = [0.5, 0.9, 0.7, 0.8, 0.2, 0.2, 0.2]

    def run(model):
        values = iter(figures)
        return train(
            tmp_path, model, EXAMPLES, Classify(), validation=VALIDATION,
            train=stage(objective=Classify(), duration="100 steps", validate_every="1 steps",
                        watch=[EarlyStop(metric="accuracy", patience=2, not_before=0)]),
            validate=lambda: {"accuracy": next(values)},
        )  # fmt: skip

    model = encoder("classify")
    steps = run(model)
    assert [step.best for step in steps] == [True, True, False, False]
    assert steps[-1].stop == "validation accuracy has not improved on 0.9 for 2 validations"
    kept = Checkpoints(tmp_path).best(2)
    assert all(torch.equal(kept[name], weight) for name, weight in weights_of(model).items())
    again = encoder("classify", seed=8)
    assert run(again) == []
    assert all(torch.equal(kept[name], weight) for name, weight in weights_of(again).items())


def test_patience_survives_a_resume(tmp_path):
    def run(figures, steps=None):
        values = iter(figures)
        return train(
            tmp_path, encoder("classify"), EXAMPLES, Classify(), steps=steps,
            train=stage(objective=Classify(), duration="100 steps", validate_every="1 steps",
                        watch=[EarlyStop(metric="accuracy", patience=3, not_before=0)]),
            validate=lambda: {"accuracy": next(values)},
        )  # fmt: skip

    run([0.9, 0.5, 0.5], steps=3)
    assert [step.number for step in run([0.5, 0.5, 0.5])] == [4]


def test_stop_saves_and_the_same_call_goes_on(tmp_path):
    reference, steps = whole(tmp_path / "whole")
    asked = iter([False] * 7 + [True])
    model = causal(dropout=0.2)
    first = []
    with pytest.raises(Interrupted, match="stopped after step 7"):
        first.extend(
            fit(
                model, EXAMPLES, Sft(), train=settings(), validation=VALIDATION,
                checkpoints=Checkpoints(tmp_path / "cut"), stop=lambda: next(asked),
            )
        )  # fmt: skip
    model = causal(dropout=0.2)
    rest = train(tmp_path / "cut", model, EXAMPLES, train=settings(), validation=VALIDATION)
    assert same(first + rest, steps)
    assert all(torch.equal(w, weights_of(model)[n]) for n, w in weights_of(reference).items())


def test_other_data_or_settings_are_refused(tmp_path):
    train(tmp_path, causal(), EXAMPLES, steps=3, save_every=0.0)
    changed = rows(14)
    changed[3].ids[2] ^= 1
    with pytest.raises(GateFailed, match="other data"):
        train(tmp_path, causal(), changed)
    with pytest.raises(GateFailed, match="other settings"):
        train(tmp_path, causal(), EXAMPLES, train=stage(seed=1))


def test_every_lost_part_of_a_checkpoint_is_refused_by_name(tmp_path):
    from safetensors.torch import load_file, save_file

    from tunesmith.runs import file_digest

    train(tmp_path / "made", causal(dropout=0.2), EXAMPLES, steps=3, save_every=0.0)
    made = tmp_path / "made" / "step-00000003"
    state = json.loads((made / "state.json").read_text())
    tensors = load_file(made / "tensors.safetensors")
    parts = [name for name in state if name not in ("format", "step")]
    assert {"position", "watchers", "random_python", "random_numpy", "best_value", "stopped"} <= set(parts)
    assert "random/torch" in tensors and "optimizer/0/exp_avg" in tensors
    for lost in [*parts, "random/torch", "optimizer/0/exp_avg", "optimizer/1/step", next(iter(tensors))]:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        folder = copy / made.name
        folder.mkdir(parents=True)
        (folder / "state.json").write_text(json.dumps({k: v for k, v in state.items() if k != lost}))
        save_file({k: v for k, v in tensors.items() if k != lost}, folder / "tensors.safetensors")
        digests = {name: file_digest(folder / name) for name in ("state.json", "tensors.safetensors")}
        (folder / "manifest.json").write_text(json.dumps(digests))
        with pytest.raises(GateFailed, match=f"lacks .*{lost}"):
            train(copy, causal(dropout=0.2), EXAMPLES)


def test_a_damaged_checkpoint_is_passed_over_aloud(tmp_path):
    reference, steps = whole(tmp_path / "whole")
    folder = tmp_path / "damaged"
    train(folder, causal(dropout=0.2), EXAMPLES, train=settings(), validation=VALIDATION, save_every=0.0, steps=8)
    file = folder / "step-00000008" / "tensors.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    said = []
    model = causal(dropout=0.2)
    rest = list(
        fit(
            model, EXAMPLES, Sft(), train=settings(), validation=VALIDATION,
            checkpoints=Checkpoints(folder, save_every=0.0, warn=said.append),
        )
    )  # fmt: skip
    assert said == [
        "checkpoint step-00000008 is damaged (tensors.safetensors has changed); going on from the one before"
    ]
    assert [step.number for step in rest] == [8, 9, 10, 11, 12]
    assert same(rest, steps[7:])
    assert all(torch.equal(w, weights_of(model)[n]) for n, w in weights_of(reference).items())


def test_only_what_is_needed_is_kept(tmp_path):
    whole(tmp_path)
    names = sorted(path.name for path in Path(tmp_path).iterdir())
    assert [name for name in names if name.startswith("step-")] == ["step-00000011", "step-00000012"]
    assert 1 <= len([name for name in names if name.startswith("best-")]) <= 2
