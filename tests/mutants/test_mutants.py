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

MIXTURE = "unit/test_train_order.py::test_an_epoch_holds_what_the_mixture_says"
LAUNCH = "unit/test_scale_launch.py"
RANKS = "golden/test_train_ranks.py"
EXACT = "golden/test_train_exact.py::test_a_step_equals_transformers_and_peft"
OPTIMIZERS = "golden/test_train_optimizers.py"
REGULARIZE = "golden/test_train_regularize.py"
DIAGNOSE = "golden/test_train_diagnose.py"
ADAMW = "golden/test_train_loop.py::test_adamw_schedule_and_clip_equal_a_plain_loop"

TRUNK = "golden/test_train_trunk.py"
LORA = "unit/test_models_adapters_lora.py"
QLORA = "unit/test_models_adapters_qlora.py"
OTHERS = "unit/test_models_adapters_others.py"
DECODING = "golden/test_decoding.py"

# fmt: off
MUTANTS = [
    Mutant("mean of means", "train/loop.py",
           "(loss.sum / count)",
           "(loss.sum / batch.count / len(batches))",
           CUT),
    Mutant("short last window divided as a full one", "train/loop.py",
           '"count": sum(batch.count for batch in batches)',
           '"count": batches[0].count * len(batches)',
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
    Mutant("padding among the states a class is told from", "models/heads.py",
           "[row_TD.mean(dim=0) for row_TD in rows]",
           "[row_TD.sum(dim=0) / max(lengths) for row_TD in rows]",
           f"{EXACT}[bert-objective9-full]"),
    Mutant("tokens nobody asks about tagged", "train/objectives/tag.py",
           "positions_M = np.flatnonzero(tags_N >= 0)",
           "positions_M = np.flatnonzero((tags_N := np.maximum(tags_N, 0)) >= 0)",
           f"{EXACT}[bert-objective10-lora]"),
    Mutant("an encoder reads the padding of short prompts", "train/collate.py",
           '"mask_BT": mask_of([len(example.ids) for example in examples], device),',
           '"mask_BT": mask_of([max(len(example.ids) for example in examples)] * len(examples), device),',
           f"{EXACT}[t5-objective8-full]"),
    Mutant("random numbers lost", "train/state.py",
           'torch.set_rng_state(saved.tensors[_random_name("torch", rank)])',
           "pass",
           RESUME),
    Mutant("optimizer moments lost", "train/state.py",
           '"state": optimizer_state}',
           '"state": {}}',
           RESUME),
    Mutant("every epoch in one order", "train/order/batches.py",
           "default_rng((self.seed, number))",
           "default_rng(self.seed)",
           "unit/test_train_batches.py::test_order_is_a_function_of_seed_and_epoch"),
    Mutant("weights of a mixture ignored", "train/order/epochs.py",
           "(data.sources[origin].weight if weighs else 1.0) * size",
           "size",
           MIXTURE),
    Mutant("temperature of a mixture ignored", "train/order/epochs.py",
           "size ** (1 / data.mixture.temperature)",
           "size",
           MIXTURE),
    Mutant("remainder of a mixture lost", "train/order/epochs.py",
           "counts[origin] += 1",
           "pass",
           MIXTURE),
    Mutant("the same rows wait in every epoch", "train/order/epochs.py",
           "(number * rest + np.arange(rest))",
           "np.arange(rest)",
           "unit/test_train_order.py::test_rows_of_a_source_are_seen_equally_often"),
    Mutant("share of the new rows, not of all", "train/order/epochs.py",
           "round(count * share / (1 - share))",
           "round(count * share)",
           "unit/test_train_order.py::test_replayed_rows_make_the_share_that_was_asked_for"),
    Mutant("rows held out are replayed", "data/prepare.py",
           "if record.content() not in held_out]",
           "]",
           "unit/test_data_prepare.py::test_older_rows_are_replayed_unless_they_are_held_out"),
    Mutant("loss weights stay beside sampling by them", "data/prepare.py",
           'mixture is not None and mixture.weight == "sampling"',
           "False",
           "unit/test_data_prepare.py::test_what_a_weight_multiplies"),
    Mutant("curriculum never backwards", "train/order/epochs.py",
           'found if rule.order == "ascending" else -found',
           "found",
           "unit/test_train_order.py::test_a_curriculum_can_go_by_a_column_and_backwards"),
    Mutant("curriculum in every epoch", "train/order/epochs.py",
           "self.graded if number < self.graded_epochs else None",
           "self.graded",
           "unit/test_train_order.py::test_a_curriculum_goes_from_short_to_long_and_then_at_random"),
    Mutant("another order goes on from a checkpoint", "train/loop.py",
           '"order": self.batches.order.digest',
           '"order": ""',
           "golden/test_train_mixtures.py::test_another_order_does_not_go_on_from_a_checkpoint"),
    Mutant("last rows left out", "train/order/batches.py",
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
           "self.weights.load(kept or self.weights.result)",
           "self.weights.load(self.weights.result)",
           "golden/test_train_loop.py::test_the_best_weights_are_the_result"),
    Mutant("clipped twice as short", "train/loop.py",
           "scale = self.optimizer_part.clip /",
           "scale = 0.5 * self.optimizer_part.clip /",
           ADAMW),
    Mutant("norms and biases decayed", "train/optimizers/__init__.py",
           '"weight_decay": self.weight_decay if matrix else 0.0,',
           '"weight_decay": self.weight_decay,',
           ADAMW),
    Mutant("no fp32 masters", "train/weights/__init__.py",
           "parameter.detach().float().clone()",
           "parameter.detach().clone()",
           "golden/test_train_parity.py::test_small_updates_are_not_rounded_away_in_bf16"),
    Mutant("validation disturbs training", "train/loop.py",
           "drawn = torch.random.fork_rng(devices=",
           "drawn = torch.random.fork_rng(enabled=False, devices=",
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
    Mutant("lower layers learn faster", "models/layers/depth.py",
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
    Mutant("one layer too many frozen", "models/layers/freeze.py",
           "found.of(within) < below",
           "found.of(within) <= below",
           "golden/test_train_freeze.py::test_a_frozen_training_equals_one_frozen_by_hand"),
    Mutant("released from below", "models/layers/freeze.py",
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
    Mutant("a rate far too high taken for one far too low", "train/watchers/_symptoms.py",
           'memory["highest"] - began >',
           'memory["highest"] - median(memory["first"]) >',
           f"{DIAGNOSE}::test_a_spike_and_then_nothing_is_a_rate_too_high"),
    Mutant("noise taken for a rate too high", "train/watchers/_symptoms.py",
           "max(0.15 * began, 5 * after.spread)",
           "0.15 * began",
           f"{DIAGNOSE}::test_noise_alone_is_no_rate_too_high"),
    Mutant("told too low after too high", "train/watchers/_symptoms.py",
           'return not {"divergence", "high_learning_rate"}.isdisjoint(memory["said"])',
           "return False",
           f"{DIAGNOSE}::test_a_spike_and_then_nothing_is_a_rate_too_high"),
    Mutant("NaN told without what came before", "train/loop.py",
           'fix="; ".join(known) or usual,',
           "fix=usual,",
           f"{DIAGNOSE}::test_an_end_in_nan_tells_what_came_before"),
    Mutant("a step told again gets a new number", "trackers/_told.py",
           "self._numbers.setdefault(key, len(self._numbers))",
           "self._numbers[key] = len(self._numbers)",
           "unit/test_trackers.py::test_rows_keep_their_numbers_when_a_run_goes_on"),
    Mutant("half a line read", "events.py",
           "self._offset += len(whole)",
           "self._offset += len(written)",
           "unit/test_events.py::test_a_tail_reads_on_from_where_it_was_and_never_half_a_line"),
    Mutant("watching ends before the run", "cli/live.py",
           "if run.worker() is not None:",
           "if False:",
           "unit/test_live_view.py::test_a_run_has_ended_when_nobody_works_on_it"),
    Mutant("curves scrambled", "report/charts/braille.py",
           "(0x08, 0x10, 0x20, 0x80)",
           "(0x08, 0x20, 0x10, 0x80)",
           "unit/test_live_view.py::test_every_dot_has_its_bit"),
    Mutant("the average validated and not kept", "train/loop.py",
           "save_best(step.number, self.weights.result)",
           "save_best(step.number, self.weights.masters)",
           f"{REGULARIZE}::test_the_average_is_what_is_validated_and_kept"),
    Mutant("the average not lent to validation", "train/loop.py",
           "with drawn, self.weights.lent():",
           "with drawn:",
           f"{REGULARIZE}::test_the_average_is_what_is_validated_and_kept"),
    Mutant("the average lost by a resume", "train/state.py",
           "weights.average[name].copy_(average)",
           "pass",
           f"{REGULARIZE}::test_resuming_is_bit_equal"),
    Mutant("noise scaled by the batch", "train/regularize.py",
           "(lengths_B.clamp_min(1) * width)",
           "(lengths_B.clamp_min(1).float().mean().expand(len(lengths_B)) * width)",
           f"{REGULARIZE}::test_noise_is_uniform_and_scaled_by_each_row[causal]"),
    Mutant("noise while validating", "train/regularize.py",
           "if module.training and calls == 1 else None",
           "",
           f"{REGULARIZE}::test_noise_is_for_training_alone"),
    Mutant("dropout left in the config", "train/regularize.py",
           "            setattr(holder, name, value)",
           "            pass",
           f"{REGULARIZE}::test_dropout_comes_back_and_spares_what_is_not_the_base"),
    Mutant("LoRA scaled by another alpha", "models/adapters/lora.py",
           "lora_alpha=self.alpha,",
           "lora_alpha=self.alpha / 2,",
           f"{LORA}::test_rank_stabilised_scaling_is_alpha_over_the_root_of_rank"),
    Mutant("rank-stabilised scaling ignored", "models/adapters/lora.py",
           'use_rslora=self.scaling == "rslora",',
           "use_rslora=False,",
           f"{LORA}::test_rank_stabilised_scaling_is_alpha_over_the_root_of_rank"),
    Mutant("lengths of DoRA not trained", "models/adapters/_peft.py",
           "        model.adapter = self\n",
           "        model.adapter = self\n"
           "        for name, weight in model.module.named_parameters():\n"
           '            weight.requires_grad_(weight.requires_grad and "magnitude" not in name)\n',
           f"{LORA}::test_dora_trains_the_length_of_each_outputs_weights"),
    Mutant("tied embeddings parted", "models/adapters/lora.py",
           "ensure_weight_tying=bool(tied),",
           "",
           f"{LORA}::test_tied_embeddings_are_trained_once_and_stay_tied"),
    Mutant("adapter not saved", "models/save.py",
           "if model.adapter is not None:",
           "if False:",
           f"{LORA}::test_what_others_set_is_read_and_kept"),
    Mutant("adapter merged twice", "models/combine.py",
           "layer.weight += change_OI.T if isinstance(layer, Conv1D) else change_OI",
           "layer.weight += 2 * (change_OI.T if isinstance(layer, Conv1D) else change_OI)",
           "unit/test_flow_merge.py::test_a_mean_of_the_same_adapter_is_that_adapter"),
    Mutant("DARE draws the same whatever the seed", "models/combine.py",
           "torch.manual_seed(rule.seed)",
           "torch.manual_seed(0)",
           "unit/test_flow_merge.py::test_dare_drops_at_random_and_scales_up_what_it_keeps"),
    Mutant("NF4 rounds down", "models/nf4.py",
           "borders = (levels[1:] + levels[:-1]) / 2",
           "borders = levels[1:]",
           f"{QLORA}::test_each_weight_goes_to_the_nearest_level_of_its_block"),
    Mutant("base not rounded when reopened", "models/adapters/_peft.py",
           "        self._put_on(model, lambda: _read(config), seed=0)",
           "        type(self).prepare = PeftAdapter.prepare\n"
           "        self._put_on(model, lambda: _read(config), seed=0)",
           f"{QLORA}::test_it_starts_as_the_rounded_base_trains_and_is_reopened_bit_for_bit[llama-lm]"),
    Mutant("merging into the base that was not trained on", "models/nf4.py",
           "weight_OI = self.weight\n",
           "weight_OI = self.weight * 1.01\n",
           f"{QLORA}::test_full_training_merges_it_first"),
    Mutant("virtual tokens hidden by the mask", "models/adapters/_injection.py",
           "mask.new_full((*mask.shape[:-1], length), seen)",
           "mask.new_full((*mask.shape[:-1], length), 0)",
           f"{OTHERS}::test_peft_opens_them_with_equal_outputs[prompt-gpt2]"),
    Mutant("states of virtual tokens given to the head", "models/adapters/_injection.py",
           "output.last_hidden_state[:, length:]",
           "output.last_hidden_state[:, :-length]",
           f"{OTHERS}::test_peft_opens_them_with_equal_outputs[prompt-llama]"),
    Mutant("keys and values of a prefix exchanged", "models/adapters/_injection.py",
           "return 2 * layer, 2 * layer + 1",
           "return 2 * layer + 1, 2 * layer",
           f"{OTHERS}::test_peft_opens_them_with_equal_outputs[prefix-llama]"),
    Mutant("virtual tokens take no room", "models/adapters/_injection.py",
           "model.context -= module",
           "module",
           f"{OTHERS}::test_virtual_tokens_take_their_place_in_the_context"),
    Mutant("bottleneck without its skip connection", "models/adapters/_inserted.py",
           "= output_BTD + self.up(",
           "= self.up(",
           f"{OTHERS}::test_it_is_counted_trains_alone_and_learns[bottleneck-llama-lm]"),
    Mutant("feed-forward outputs scaled instead of inputs", "models/adapters/ia3.py",
           "feedforward_modules=feedforward",
           "feedforward_modules=[]",
           f"{OTHERS}::test_ia3_scales_inputs_of_feedforward_layers_and_outputs_of_others"),
    Mutant("adapter switched without its head", "models/adapter_set.py",
           "model.adapter, model.head, model.head_kind = member.adapter, member.head, member.head_kind",
           "model.adapter, model.head_kind = member.adapter, member.head_kind",
           "unit/test_models_adapter_set.py::test_each_gives_what_it_gives_alone[lora]"),
    Mutant("packed bases estimated as whole ones", "models/memory.py",
           "(held - packed) * width + packed_bytes",
           "held * width",
           "unit/test_models_adapters_memory.py::test_a_packed_base_takes_an_eighth"),
    Mutant("layers computed again though all fits", "models/memory.py",
           "plain.total_bytes > free_bytes and able",
           "plain.total_bytes >= free_bytes and able",
           "golden/test_train_checkpointing.py::test_auto_turns_it_on_only_when_a_step_would_not_fit[llama]"),
    Mutant("checkpointing accepted and not done", "train/memory.py",
           "    if not wanted:",
           "    if True:",
           "golden/test_train_checkpointing.py::test_less_is_kept"),
    Mutant("other free memory is other settings", "train/loop.py",
           'NO_MATTER: Any = {"checkpointing": True, "freeze": {"cache"}}',
           "NO_MATTER: Any = {}",
           "golden/test_train_checkpointing.py::test_a_training_goes_on_where_other_memory_is_free"),
    Mutant("finished row goes on", "models/inference/generate.py",
           "return self.said[-1] in stops or len(self.said) == self.limit",
           "return len(self.said) == self.limit",
           f"{DECODING}::test_every_row_says_what_it_says_alone[llama]"),
    Mutant("finished rows are computed to the end of the batch", "models/inference/generate.py",
           "if len(going_on) < len(running):",
           "if not going_on:",
           f"{DECODING}::test_every_row_says_what_it_says_alone[llama]"),
    Mutant("row reads the keys of the row that left", "models/packing/kv_cache.py",
           "state[row, :, : self.lengths[row]]\n",
           "state[slot, :, : self.lengths[row]]\n",
           f"{DECODING}::test_every_row_says_what_it_says_alone[llama]"),
    Mutant("position of another row after dropping", "models/packing/kv_cache.py",
           "self.lengths = [self.lengths[row] for row in rows]",
           "self.lengths = self.lengths[: len(rows)]",
           f"{DECODING}::test_every_row_says_what_it_says_alone[gpt2]"),
    Mutant("position off by one while answering", "models/packing/kv_cache.py",
           "return behind_N + super().positions_N",
           "return behind_N + super().positions_N + (self.behind[0] > 0)",
           f"{DECODING}::test_every_row_says_what_it_says_alone[gpt2]"),
    Mutant("rows see what a slot held before", "models/packing/kv_cache.py",
           "hidden_SC = distance_SC < 0",
           "hidden_SC = distance_SC < -2",
           f"{DECODING}::test_every_row_says_what_it_says_alone[llama]"),
    Mutant("window forgotten while answering", "models/packing/kv_cache.py",
           "if window is not None:",
           "if False:",
           f"{DECODING}::test_every_row_says_what_it_says_alone[mistral]"),
    Mutant("fresh rows overwrite those that go on", "models/packing/kv_cache.py",
           "first = len(self.lengths)",
           "first = 0",
           f"{DECODING}::test_rows_that_stay_keep_their_keys"),
    Mutant("draws shared by the batch", "models/inference/generate.py",
           "[row.draws.random() for row in fresh]",
           "[running[0].draws.random() for row in fresh]",
           f"{DECODING}::test_draws_depend_on_the_seed_and_on_no_neighbour"),
    Mutant("top-p leaves out the token that reaches it", "models/inference/sampling.py",
           "before_BM = likely_BM.cumsum(dim=-1) - likely_BM",
           "before_BM = likely_BM.cumsum(dim=-1)",
           f"{DECODING}::test_draws_follow_the_probabilities_of_transformers[sampling2]"),
    Mutant("blocked weights outlive their model", "models/inference/blocked.py",
           "            del layer.forward",
           "            pass",
           f"{DECODING}::test_answers_follow_weights_that_have_changed"),
    Mutant("mean over processes instead of the sum", "train/weights/ranks.py",
           "dist.all_reduce(flat)",
           "dist.all_reduce(flat.div_(self.count))",
           f"{RANKS}::test_two_processes_are_as_one[full]"),
    Mutant("each process divides by its own count", "train/loop.py",
           "whole = ranks.sums(_amounts(batches))",
           "whole = _amounts(batches)",
           f"{RANKS}::test_two_processes_are_as_one[accumulated]"),
    Mutant("rows of the second process dropped", "train/weights/ranks.py",
           "if mine == rank] for rank in range(count)]",
           "if mine == 0] for rank in range(count)]",
           f"{RANKS}::test_two_processes_are_as_one[full]"),
    Mutant("a weight without gradient in one process left out", "train/weights/__init__.py",
           "zip(names, learned, strict=True) if anywhere]",
           "zip(names, learned, strict=True) if self.masters[name].grad is not None]",
           f"{RANKS}::test_two_processes_are_as_one[idle]"),
    Mutant("random numbers of the second process lost", "train/state.py",
           "for rank, drawn in enumerate(numbers)",
           "for rank, drawn in enumerate(numbers[:1] * len(numbers))",
           f"{RANKS}::test_two_processes_resume_bit_for_bit"),
    Mutant("stop heard by one process only", "train/loop.py",
           "if ranks.any(stop()):",
           "if stop():",
           f"{RANKS}::test_two_processes_resume_bit_for_bit"),
    Mutant("processes killed by nobody's hand pass for done", "scale/launch.py",
           "self.ended is not None and self.process.returncode != 0",
           "self.ended is not None and self.process.returncode > 0",
           f"{LAUNCH}::test_a_killed_process_is_the_cause_whatever_the_others_say[time.sleep(60)]"),
    Mutant("checkpoint ahead of the diary", "scale/parent.py",
           "        self._noted.acquire()\n",
           "",
           f"{LAUNCH}::test_what_is_told_is_noted_before_the_process_goes_on"),
    Mutant("all processes draw the same numbers", "train/state.py",
           "    if rank:\n",
           "    if False:\n",
           f"{RANKS}::test_each_process_draws_numbers_of_its_own"),
    Mutant("frozen layers kept although activations are dropped in them", "models/layers/trunk.py",
           'if share and (place.path',
           'if False and (place.path',
           f"{TRUNK}::test_what_cannot_be_kept_is_refused"),
    Mutant("states of another row", "models/layers/kept.py",
           "torch.cat([self._states[self._places[name]] for name in names])",
           "self._states[: sum(self._places[name].stop - self._places[name].start for name in names)]",
           f"{TRUNK}::test_rows_are_told_apart_by_their_tokens"),
    Mutant("states of rows handed to others that are read meanwhile", "models/layers/trunk.py",
           "return real_BT if torch.equal(given_BT[real_BT], rows.ids_N) else None",
           "return real_BT",
           f"{TRUNK}::test_what_else_is_read_meanwhile_is_computed"),
    Mutant("kept states stale after a layer is unfrozen", "models/layers/depth.py",
           "return max(0, min([*places, lowest_stack]))",
           "return max(0, min([*(place for place in places if place > 0), lowest_stack]))",
           f"{TRUNK}::test_what_cannot_be_kept_is_refused"),
    Mutant("frozen layers kept under embeddings that learn or virtual tokens", "models/layers/depth.py",
           'found.count if name.startswith("head.") else -1',
           "found.count",
           f"{TRUNK}::test_what_cannot_be_kept_is_refused"),
    Mutant("a resumed training keeps states of other batches", "train/loop.py",
           "        if trunk is not None and not self.ended:",
           "        if False:",
           f"{TRUNK}::test_a_resumed_training_is_bit_equal"),
    Mutant("validation rows kept beside training rows", "train/loop.py",
           "kept=self.kept_validation",
           "kept=self.kept",
           f"{TRUNK}::test_a_resumed_training_is_bit_equal"),
    Mutant("joined layers say what was asked before", "models/inference/blocked.py",
           "        if inputs is not self._inputs:",
           "        if not self._said:",
           f"{DECODING}::test_joined_layers_answer_in_any_order"),
    Mutant("joined layers without their own bias", "models/inference/blocked.py",
           "nothing(width) if bias is None else bias",
           "nothing(width)",
           f"{DECODING}::test_blocked_weights_give_the_same_products[qwen2-15-9-dtype0]"),
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
