"""Seeded bugs: each is put into a copy of the package, and the test named beside it must turn red.

They are the classic bugs of this field; a test that stops noticing one is noticed here.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "src" / "tunesmith"

# Torch and the models are imported once; the package itself is imported afresh, from the copy, by every child.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "pytest",
        "transformers.models.bert.modeling_bert",
        "transformers.models.llama.modeling_llama",
        "transformers.models.t5.modeling_t5",
    ]
)


@dataclass(frozen=True)
class Mutant:
    """A bug: in `file`, `sound` becomes `broken`; `test` must notice."""

    name: str
    file: str
    sound: str
    broken: str
    test: str


RESUME = "golden/test_train_resume.py::test_stop_saves_and_the_same_call_goes_on"
CUT = "golden/test_train_parity.py::test_micro_batches_do_not_change_the_result[causal-objective0]"
CAUSAL = "golden/test_train_parity.py::test_causal_equals_transformers[objective0]"

OPTIMIZERS = "golden/test_train_optimizers.py"
DIAGNOSE = "golden/test_train_diagnose.py"
ADAMW = "golden/test_train_loop.py::test_adamw_schedule_and_clip_equal_a_plain_loop"

# fmt: off
MUTANTS = [
    Mutant("mean of means", "train/loop.py",
           "(loss.sum / count)",
           "(loss.sum / batch.count / len(batches))",
           CUT),
    Mutant("short last window divided as a full one", "train/loop.py",
           "count = sum(batch.count for batch in batches)",
           "count = batches[0].count * len(batches)",
           CUT),
    Mutant("stop token masked", "train/collate.py",
           "np.flatnonzero(example.trained[1:]) + 1",
           "np.flatnonzero(example.trained[1:])[:-1] + 1",
           CAUSAL),
    Mutant("prompt trained", "train/collate.py",
           "np.flatnonzero(example.trained[1:])",
           "np.arange(len(example.ids) - 1)",
           CAUSAL),
    Mutant("targets not shifted", "train/collate.py",
           "found - 1 + start for",
           "found + start for",
           CAUSAL),
    Mutant("random numbers lost", "train/state.py",
           'torch.set_rng_state(saved.tensors["random/torch"])',
           "pass",
           RESUME),
    Mutant("optimizer moments lost", "train/state.py",
           '"state": optimizer_state}',
           '"state": {}}',
           RESUME),
    Mutant("every epoch in one order", "train/batches.py",
           "default_rng((self.seed, number))",
           "default_rng(self.seed)",
           "unit/test_train_batches.py::test_order_is_a_function_of_seed_and_epoch"),
    Mutant("last rows left out", "train/batches.py",
           "for start in range(0, len(order), size)",
           "for start in range(0, len(order) - size + 1, size)",
           "unit/test_train_batches.py::test_each_example_exactly_once_an_epoch"),
    Mutant("patience forgotten", "train/state.py",
           'dict(memory) for memory in saved.state["watchers"]',
           '{"best": None, "waited": 0} for memory in saved.state["watchers"]',
           "golden/test_train_resume.py::test_patience_survives_a_resume"),
    Mutant("torn checkpoint taken", "train/checkpoint.py",
           "if file_digest(folder / name) != digest:",
           "if False:",
           "unit/test_train_checkpoint.py::test_any_damage_is_noticed_and_the_one_before_is_used"),
    Mutant("last weights instead of best", "train/loop.py",
           "self.weights.load(weights)",
           "pass",
           "golden/test_train_loop.py::test_the_best_weights_are_the_result"),
    Mutant("clipped twice as short", "train/loop.py",
           "scale = self.optimizer_part.clip /",
           "scale = 0.5 * self.optimizer_part.clip /",
           ADAMW),
    Mutant("norms and biases decayed", "train/optimizers/__init__.py",
           '"weight_decay": self.weight_decay if matrix else 0.0,',
           '"weight_decay": self.weight_decay,',
           ADAMW),
    Mutant("no fp32 masters", "train/weights.py",
           "parameter.detach().float().clone()",
           "parameter.detach().clone()",
           "golden/test_train_parity.py::test_small_updates_are_not_rounded_away_in_bf16"),
    Mutant("validation disturbs training", "train/loop.py",
           "with torch.random.fork_rng(devices=",
           "with torch.random.fork_rng(enabled=False, devices=",
           "golden/test_train_resume.py::test_validation_does_not_disturb_training"),
    Mutant("weights of rows ignored", "train/collate.py",
           "np.repeat([example.weight for",
           "np.repeat([1.0 for",
           "golden/test_train_parity.py::test_weights_of_rows_count_in_sum_and_count"),
    Mutant("L1 that never reaches zero", "train/optimizers/__init__.py",
           "(weight.abs() - group[\"lr\"] * group[\"l1\"]).clamp_min_(0)",
           "(weight.abs() - group[\"lr\"] * group[\"l1\"])",
           f"{OPTIMIZERS}::test_l1_finds_the_lasso_solution"),
    Mutant("8-bit memory kept in 32", "train/optimizers/adamw8bit.py",
           "min_8bit_size=SMALLEST",
           "min_8bit_size=SMALLEST * 100",
           f"{OPTIMIZERS}::test_eight_bits_follow_adamw_and_weigh_a_quarter"),
    Mutant("8-bit memory lost in a checkpoint", "train/state.py",
           "optimizer.state.get(weight, {}).items()",
           "list(optimizer.state.get(weight, {}).items())[:1]",
           f"{OPTIMIZERS}::test_resuming_is_bit_equal"),
    Mutant("lower layers learn faster", "models/depth.py",
           "max(top - found.of(names[id(parameter)]), 0)",
           "max(found.of(names[id(parameter)]), 0)",
           "unit/test_train_depth.py::test_depths_equal_a_grouping_by_hand[llama-True]"),
    Mutant("cool-down starts late", "train/schedules/__init__.py",
           "end = max(total - cooldown_steps, warmup_steps)",
           "end = max(total - cooldown_steps // 2, warmup_steps)",
           "unit/test_train_schedules.py::test_the_trapezoid"),
    Mutant("cool-down not handed to the schedule", "train/loop.py",
           "(schedule.warmup, schedule.cooldown))",
           "(schedule.warmup,))",
           "golden/test_train_loop.py::test_adamw_schedule_and_clip_equal_a_plain_loop"),
    Mutant("one layer too many frozen", "models/freeze.py",
           "found.of(within) < below",
           "found.of(within) <= below",
           "golden/test_train_freeze.py::test_a_frozen_training_equals_one_frozen_by_hand"),
    Mutant("released from below", "models/freeze.py",
           "waiting[name] = below - found.of(within)",
           "waiting[name] = found.of(within) + 2",
           "golden/test_train_freeze.py::test_one_more_layer_learns_every_epoch"),
    Mutant("released layers forgotten by a resume", "train/loop.py",
           "self.horizon.times(self.freeze.unfreeze, self.state.position)",
           "(self.__dict__.__setitem__('count', getattr(self, 'count', 0) + 1) or self.count - 1) // 3",
           "golden/test_train_freeze.py::test_a_gradual_training_resumes_bit_equal[fp32]"),
    Mutant("padded places seen", "models/packing/attention.py",
           "if causal or bucket.real_BT is None:\n        return None\n    hidden_BT", "return None\n    hidden_BT",
           "golden/test_packed_parity.py::test_packed_rows_equal_each_row_alone[bert]"),
    Mutant("padded places teach", "models/packing/attention.py",
           "d_said = d_said * bucket.real_BT[:, None, :, None]", "pass",
           "golden/test_packed_parity.py::test_both_ways_back_give_the_gradient[1000-llama]"),
    Mutant("window forgotten", "models/packing/attention.py",
           "window = window if window is not None and window < layout.longest else None", "window = None",
           "golden/test_packed_parity.py::test_packed_rows_equal_each_row_alone[mistral]"),
    Mutant("positions run on", "models/packing/layout.py",
           "return (torch.arange(self.num_tokens) - begins_N).to(self.device)",
           "return torch.arange(self.num_tokens).to(self.device)",
           "golden/test_packed_parity.py::test_packed_rows_equal_each_row_alone[gpt2]"),
    Mutant("a gaining figure taken for overfitting", "train/watchers/_symptoms.py",
           "any(memory[\"num_checks\"] - entry[\"check\"] < checks for",
           "any(memory[\"num_checks\"] - entry[\"check\"] < checks and entry is memory[\"best\"][\"loss\"] for",
           f"{DIAGNOSE}::test_a_figure_that_still_gains_is_no_overfitting"),
    Mutant("said again and again", "train/watchers/diagnose.py",
           "memory[\"said\"].append(name)",
           "pass",
           f"{DIAGNOSE}::test_nothing_is_said_twice_and_a_resume_changes_nothing"),
    Mutant("diagnoses not handed on", "train/loop.py",
           "for note in watcher.notes(step, memory))",
           "for note in watcher.notes(step, memory)[:0])",
           f"{DIAGNOSE}::test_leak"),
    Mutant("a slow fall taken for a sound one", "train/watchers/_symptoms.py",
           "late < 0.6 * early",
           "late < 6 * early",
           f"{DIAGNOSE}::test_a_learning_rate_ten_times_too_low"),
]
# fmt: on


def run_test(source: Path, test: str) -> None:
    """In a child: the exit code is pytest's."""
    sys.path.insert(0, str(source))
    # Plug-ins of pytest that the models have already imported cannot be loaded as plug-ins any more.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    import tunesmith

    if Path(tunesmith.__file__).parent != source / "tunesmith":
        os._exit(99)
    os._exit(
        pytest.main(
            ["-x", "-q", "-p", "no:cacheprovider", "-c", str(TESTS.parent / "pyproject.toml"), str(TESTS / test)]
        )
    )


def outcome(source: Path, test: str) -> int | None:
    process = FORKS.Process(target=run_test, args=(source, test))
    process.start()
    process.join(120)
    return process.exitcode


def copy(folder: Path) -> Path:
    shutil.copytree(PACKAGE, folder / "tunesmith", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    return folder


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_seeded_bug_is_noticed(tmp_path, mutant):
    source = copy(tmp_path)
    file = source / "tunesmith" / mutant.file
    text = file.read_text("utf-8")
    assert text.count(mutant.sound) == 1, "the sound line has moved; mend the mutant"
    file.write_text(text.replace(mutant.sound, mutant.broken), "utf-8")
    assert outcome(source, mutant.test) == pytest.ExitCode.TESTS_FAILED


def test_the_sound_copy_passes(tmp_path):
    # Otherwise a test that fails for another reason would look like a bug noticed.
    source = copy(tmp_path)
    for test in dict.fromkeys(mutant.test for mutant in MUTANTS):
        assert outcome(source, test) == pytest.ExitCode.OK, test
