"""What can be wrong with a training, each told from numbers that a healthy one does not show.

A symptom is a function of the memory and the last step that returns a sentence with its numbers and the
remedy, or None. Each waits until it can tell its condition from noise; where two explanations fit, the
sentence names both. The thresholds were set on small models trained well and badly (the tests show both).
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median, pstdev
from typing import Any

from tunesmith.train.step import Step
from tunesmith.train.watchers._history import WINDOW, Course, courses

Memory = dict[str, Any]


def leak(memory: Memory, step: Step) -> str | None:
    """The first loss, before anything is learned, is close to nothing."""
    if step.number != 3:
        return None
    first = max(memory["first"])
    if first >= 0.1:
        return None
    return (
        f"Suspiciously low at the start: the first three losses are at most {first:.3g}, before anything was learned. "
        "Either the answers can be read off the prompts, or the base has learned these rows before; look at the "
        "rendered rows with `tunesmith check`, and take out what gives the answer away."
    )


def divergence(memory: Memory, step: Step) -> str | None:
    """The loss stands clearly above where it began, or above the best it had."""
    if step.number < 2 * WINDOW:
        return None
    first, now, lowest = median(memory["first"]), median(memory["last"]), memory["lowest"]
    # The spread of the first losses is the rows' own, or already a divergence's: then twice the first loss will do.
    noise = min(2 * pstdev(memory["first"]), memory["first"][0])
    if now <= max(first + max(0.3 * first, 0.3, noise), lowest + max(0.5 * first, 0.5)):
        return None
    early = step.number <= step.total / 3
    cause = (
        f"The learning rate, {memory['peak_lr']:.2g} at its highest, is too high, probably by an order: write "
        f"`optimizer: {{lr: {memory['peak_lr'] / 10:.2g}}}`"
        if early
        else f"Lower the learning rate, {memory['peak_lr']:.2g} at its highest, to a third of it, and keep `clip` at 1"
    )
    return (
        f"Divergence: the loss is {now:.3g} after {step.number} steps; it began at {memory['first'][0]:.3g} and had "
        f"come to {lowest:.3g}. {cause}, or make the warm-up longer."
    )


def exploding(memory: Memory, step: Step) -> str | None:
    """Gradients are tens of times longer than at the start, and large."""
    if step.number < 2 * WINDOW:
        return None
    first, now = median(memory["first_norms"]), median(memory["last_norms"])
    risen = median(memory["last"]) > memory["lowest"] + 0.05 * median(memory["first"])
    if now <= max(30 * first, 30.0) or not risen:
        return None
    return (
        f"Exploding gradients: their length is {now:.3g} after {step.number} steps and was {first:.3g} at the start, "
        "and the loss no longer falls. Set `optimizer: {clip: 1.0}`, lower the learning rate "
        f"({memory['peak_lr']:.2g} at its highest), or set `precision: fp32`."
    )


def fast(memory: Memory, step: Step) -> str | None:
    """The loss rose above where it began, lost the first quarter of the training, and has not recovered."""
    if step.number < max(0.5 * step.total, 4 * WINDOW) or "divergence" in memory["said"]:
        return None
    parts = courses(memory, (0.25, 0.75))
    if parts is None:
        return None
    before, _, after = parts
    began = memory["first"][0]
    # One loss and a median of few each stray with the rows drawn; the last steps show by how much.
    risen = memory["highest"] - began > max(0.15 * began, 5 * after.spread)
    if not risen or before.mean < 0.9 * began or after.mean < 0.5 * began:
        return None
    nothing = "Nothing was learned" if after.mean > 0.95 * began else "Little was learned"
    return (
        f"Learning rate too high: the loss began at {began:.4g}, rose to {memory['highest']:.4g} and is "
        f"{after.mean:.4g} in the last quarter. {nothing} while the rate was {memory['peak_lr']:.2g} at its highest: "
        f"write `optimizer: {{lr: {memory['peak_lr'] / 10:.2g}}}`, or make the warm-up longer."
    )


def nothing_learned(memory: Memory, step: Step) -> str | None:
    """Half the training is done, and the loss is where it began."""
    if step.number < max(0.5 * step.total, 4 * WINDOW) or _improved(memory, 0.01) or _too_fast(memory):
        return None
    if (said := _learned_by_heart(memory)) is not None:
        return said
    parts = courses(memory, (0.25, 0.75))
    if parts is None:
        return None
    before, _, after = parts
    noise = 2 * (before.error**2 + after.error**2) ** 0.5
    fallen = before.mean - after.mean
    if fallen > max(noise, 0.005 * before.mean) or abs(fallen) > 0.05 * before.mean + noise:
        return None
    lr, swung = memory["peak_lr"], memory["highest"] > 1.15 * memory["first"][0]
    wrong = (
        f"is off by an order (try {lr / 10:.2g} and {lr * 10:.2g})" if swung else f"is far too low (try {lr * 10:.2g})"
    )
    return (
        f"Nothing learned: the loss was {before.mean:.4g} in the first quarter and is {after.mean:.4g} in the last, "
        f"no more apart than its noise ({noise:.2g}). Either the learning rate, {lr:.2g} at its highest, {wrong}, or "
        "the answers do not follow from what is read: look at the rows with `tunesmith check`."
    )


def _learned_by_heart(memory: Memory) -> str | None:
    """The training loss falls, and the validation loss has never been below where training began."""
    best, checks = memory["best"].get("loss"), memory["checks"]
    first = sum(memory["first"]) / len(memory["first"])
    if best is None or len(checks) < 2 or best["value"] < 0.99 * first or checks[-1]["train"] > 0.98 * first:
        return None
    return (
        f"Nothing learned that holds for other rows: the training loss came from {first:.4g} to "
        f"{checks[-1]['train']:.4g}, the validation loss is no better than {best['value']:.4g}. The answers do not "
        "follow from what is read, or the validation rows are of another kind: look at both with `tunesmith check`."
    )


def slow(memory: Memory, step: Step) -> str | None:
    """The loss falls, in proportion to the learning rate spent, but hardly: the weights have barely moved."""
    if step.number < max(0.6 * step.total, 6 * WINDOW):
        return None
    found = _slopes(memory)
    if found is None:
        return None
    first, last, early, late = found
    noise = (first.error**2 + last.error**2) ** 0.5
    fallen = first.mean - last.mean
    if last.mean < 0.8 * memory["first"][0] or _too_fast(memory):
        return None
    if not 4 * noise < fallen < 0.1 * first.mean or not _validation_follows(memory, fallen):
        return None
    if early <= 0 or late < 0.6 * early:
        return None
    return (
        f"Learning rate too low, probably by an order: after {step.number} of {step.total} steps the loss has come "
        f"from {first.mean:.4g} to {last.mean:.4g} only, and falls as evenly as at the start. Write "
        f"`optimizer: {{lr: {memory['peak_lr'] * 10:.2g}}}`; its highest was {memory['peak_lr']:.2g}."
    )


def plateau(memory: Memory, step: Step) -> str | None:
    """After a fall the loss stands still far above nothing, while the learning rate is still high."""
    done = step.number / step.total
    if not 0.4 <= done <= 0.8 or step.number < 8 * WINDOW or step.lr < 0.4 * memory["peak_lr"]:
        return None
    parts = courses(memory, (0.1, 0.4, 0.7))
    if parts is None or _improved(memory, 0.02):
        return None
    first, _, before, after = parts
    noise = 2 * (before.error**2 + after.error**2) ** 0.5
    # A loss that shot up at once and came back to where it began has not fallen.
    begun = min(first.mean, memory["first"][0])
    if after.mean > 0.9 * begun or after.mean < 0.3 * begun:
        return None
    if before.mean - after.mean > max(0.01 * before.mean, 0.0) or noise > 0.05 * before.mean:
        return None
    return (
        f"Plateau: the loss fell from {begun:.4g} to {before.mean:.4g} and has stood there for "
        f"{0.6 * step.number:.0f} steps ({after.mean:.4g} now), with the learning rate still at {step.lr:.2g}. Let the "
        "rate fall sooner (a shorter `duration`, or a `cooldown`), or train more of the model: a larger rank, "
        "`adapter: full`, or a larger base."
    )


def overfitting(memory: Memory, step: Step) -> str | None:
    """The validation loss has turned and climbs while the training loss falls, and no other figure gains."""
    checks = memory["checks"]
    if step.validation is None or "loss" not in memory["best"] or len(checks) < 3 or _recent(memory, 2):
        return None
    best, last, before = memory["best"]["loss"], checks[-1], checks[-2]
    if "loss" not in last["figures"] or "loss" not in before["figures"]:
        return None
    now = last["figures"]["loss"]
    risen = min(now, before["figures"]["loss"]) > 1.1 * best["value"] + 0.01 and now > last["train"]
    if not risen or "divergence" in memory["said"] or last["train"] > 0.9 * best["train"]:
        return None
    return (
        f"Overfitting: the validation loss was lowest at step {best['step']} (epoch {best['epoch']:.3g}), "
        f"{best['value']:.4g}, and is {now:.4g}, while the training loss fell from {best['train']:.4g} to "
        f"{last['train']:.4g}. The best weights are kept. Train for fewer epochs (`duration: "
        f"{max(round(best['epoch']), 1)} epochs`), add rows, or raise dropout or weight decay."
    )


def exhausted(memory: Memory, step: Step) -> str | None:
    """The rows are known by heart, and no validation figure has gained for whole epochs."""
    if step.validation is None or not memory["best"] or _recent(memory, 3):
        return None
    last, first = memory["checks"][-1], median(memory["first"])
    best = max(memory["best"].values(), key=lambda entry: entry["step"])
    if last["train"] > max(0.05 * first, 0.01) or last["epoch"] < max(best["epoch"] + 2, 1.5 * best["epoch"]):
        return None
    return (
        f"Data exhausted: the training loss is {last['train']:.2g} ({first:.3g} at the start), and no validation "
        f"figure has gained since epoch {best['epoch']:.3g}; this is epoch {last['epoch']:.3g}. More epochs teach "
        f"nothing: write `duration: {max(round(best['epoch']), 1)} epochs`, or add other rows."
    )


def underfitting(memory: Memory, step: Step) -> str | None:
    """The training ends while both losses still fall at a good pace."""
    if step.number < step.total or step.validation is None or memory["num_checks"] < 4 or step.number < 4 * WINDOW:
        return None
    last, best = memory["checks"][-1], memory["best"].get("loss")
    back = memory["checks"][max(-len(memory["checks"]), -1 - max(memory["num_checks"] // 4, 1))]
    if best is None or best["step"] != last["step"] or "loss" not in back["figures"] or memory["said"]:
        return None
    now, before, slopes = best["value"], back["figures"]["loss"], _slopes(memory)
    even = slopes is not None and 0 < slopes[2] < 2 * slopes[3] and now < 0.95 * median(memory["first"])
    if not (before > 1.08 * now or even) or now < 0.1 * median(memory["first"]) or last["train"] < 0.8 * now:
        return None
    return (
        f"Underfitting: the training ends while the validation loss still falls ({before:.4g} at step {back['step']}, "
        f"{now:.4g} at the end), and the training loss is no lower ({last['train']:.4g}). Train longer: twice the "
        "`duration`."
    )


SYMPTOMS: dict[str, Callable[[Memory, Step], str | None]] = {
    "leak": leak,
    "divergence": divergence,
    "exploding_gradients": exploding,
    "high_learning_rate": fast,
    "nothing_learned": nothing_learned,
    "low_learning_rate": slow,
    "plateau": plateau,
    "overfitting": overfitting,
    "data_exhausted": exhausted,
    "underfitting": underfitting,
}
"""By the names they are switched off by."""


def remedy(memory: Memory) -> str | None:
    """What to do about a loss or gradient that is not finite, where the steps before it say why; None where not."""
    if len(memory["last"]) < 3:
        return None
    first, first_norm = memory["first"][0], memory["first_norms"][0]
    highest, norm = max(memory["highest"], median(memory["last"][-3:])), median(memory["last_norms"][-3:])
    if highest < 1.3 * first + 0.3 and norm < max(30 * first_norm, 30.0):
        return None
    return (
        f"the loss had gone from {first:.3g} to {highest:.3g} and the gradient's length from {first_norm:.3g} to "
        f"{norm:.3g}: the learning rate, {memory['peak_lr']:.2g} at its highest, is too high; write "
        f"`optimizer: {{lr: {memory['peak_lr'] / 10:.2g}, clip: 1.0}}`"
    )


def _too_fast(memory: Memory) -> bool:
    """Whether it was told that the learning rate is too high; then it is not too low."""
    return not {"divergence", "high_learning_rate"}.isdisjoint(memory["said"])


def _improved(memory: Memory, share: float) -> bool:
    """Whether some validation figure has gained by this share between the oldest remembered check and its best."""
    checks = memory["checks"]
    if len(checks) < 2:
        return False
    oldest = checks[0]["figures"]
    return any(
        abs(entry["value"] - oldest[name]) > share * max(abs(oldest[name]), 1e-9)
        for name, entry in memory["best"].items()
        if name in oldest and entry["step"] > checks[0]["step"]
    )


def _slopes(memory: Memory) -> tuple[Course, Course, float, float] | None:
    """The first and last fifth, and what was won for each unit of learning rate in the earlier and the later half."""
    parts = courses(memory, (0.2, 0.4, 0.6, 0.8))
    if parts is None:
        return None
    first, second, middle, fourth, last = parts
    early = (first.mean - middle.mean) / (first.moved / 2 + second.moved + middle.moved / 2)
    late = (middle.mean - last.mean) / (middle.moved / 2 + fourth.moved + last.moved / 2)
    return first, last, early, late


def _validation_follows(memory: Memory, fallen: float) -> bool:
    """Whether the validation loss, where it is measured, is falling too; otherwise rows are learned by heart."""
    best, first = memory["best"].get("loss"), sum(memory["first"]) / len(memory["first"])
    return best is None or (best["step"] == memory["checks"][-1]["step"] and first - best["value"] > 0.6 * fallen)


def _recent(memory: Memory, checks: int) -> bool:
    """Whether some figure was the best it had been within the last so many validations."""
    return any(memory["num_checks"] - entry["check"] < checks for entry in memory["best"].values())
