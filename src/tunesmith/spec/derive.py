"""The rules by which what a spec leaves out is filled in: each a value and the numbers it rests on.

Values are in the spec's own language (`"3 epochs"`, `{"kind": "adamw", "lr": 0.0002}`), so that the
filled spec is read by the same models as a written one. The rules come from the literature:

    learning rate, full      5e-5 for BERT's 110M parameters (Devlin et al. 2019), 2e-5 for billions (Taori et al. 2023)
    learning rate, adapters  about ten times that of full training, 2e-4 for billions (Dettmers et al. 2023)
    learning rate, pretrain  0.003239 - 0.0001395 ln N (Kaplan et al. 2020, appendix D)
    epochs                   many on small data (Mosbach et al. 2021), at most four over prose (Muennighoff et al. 2023)
    warm-up                  a tenth of the steps for fresh heads (Mosbach et al. 2021)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tunesmith.records import Shape
from tunesmith.spec.quantity import Batch, Duration, Length, Share
from tunesmith.spec.sections import ABILITIES

if TYPE_CHECKING:
    from tunesmith.spec.sections import Spec


@dataclass(frozen=True)
class Facts:
    """What data and base told before a spec is resolved."""

    shape: Shape
    """The shape of most records."""
    num_train: int
    """Training rows."""
    num_labels: int
    """Different labels of whole records; labels of spans are not counted."""
    labels_per_record: int
    """1 where a record has one label at most; more where several were seen."""
    answer_tokens: int
    """99th percentile of the answers' lengths; 0 when there are none."""
    row_tokens: int
    """99th percentile of the rows' lengths."""
    context: int
    """The longest sequence the base can read."""
    family: Literal["causal", "encoder", "encoder_decoder"]
    num_parameters: int
    cuda: bool
    bf16: bool
    """Whether this machine computes bf16 natively and fast."""
    gpus: int = 0
    """CUDA devices of this machine."""


class Derived(NamedTuple):
    """A value and why."""

    value: Any
    reason: str


TASK_OF_SHAPE = {"label": "classify", "spans": "extract", "chat": "chat", "pair": "chat", "text": "generate"}
LABELLING = ("classify", "extract")
"""Tasks whose answer is a label or labelled stretches, and not prose."""

SMALL = 50_000_000
"""Parameters below which an adapter saves nothing."""
AT_ONCE = 1_024
"""Tokens that keep the products of a CPU busy; a second micro-batch costs one more pass over the gradients."""
FEW = {"ia3": 20, "prefix": 100, "prompt": 20}
"""Adapters of so few parameters that each has far to go, and how many times LoRA's rate they take: 3e-3 for IA3
(arXiv 2205.05638), 1e-2 to 0.3 for virtual tokens (arXiv 2104.08691); measured too (docs/results.md)."""
HEADED = ("classify", "tag")
"""Objectives that learn a head of ours."""
HEAD = 10.0
"""How many times faster than the rest a classification or tagging head learns: it starts from nothing."""
METRICS_OF_TASK = {
    "classify": ["accuracy", "f1_macro"],
    "extract": ["exact_match", "token_f1"],
    "summarize": ["rougeL", "rouge1", "rouge2"],
    "translate": ["chrf", "bleu"],
    "answer": ["exact_match", "token_f1"],
    "chat": ["perplexity", "token_f1"],
    "generate": ["perplexity"],
    "code": ["exact_match", "chrf"],
}
METRICS_OF_OBJECTIVE = {"tag": ["entity_f1"], "pretrain": ["perplexity"]}
FIGURES_TO_WATCH = {"classify": ("accuracy", "f1_macro", "f1_micro"), "tag": ("entity_f1",)}
"""Figures that say more than the loss of how well a head does; cheap to measure, for nothing is generated."""
SEVERAL_LABELS = ["f1_micro", "f1_macro", "accuracy"]


def task(facts: Facts) -> Derived:
    """What the model is for."""
    return Derived(TASK_OF_SHAPE[facts.shape], f"most rows are of shape {facts.shape!r}")


def devices(facts: Facts) -> Derived:
    """One process for each GPU."""
    if facts.gpus:
        return Derived(facts.gpus, f"one process for each of {facts.gpus} GPUs")
    return Derived(1, "one process, on all cores")


def steps() -> Derived:
    """What is done to the rows."""
    return Derived([{"kind": "clean"}, {"kind": "exact_dedup"}], "broken rows and exact duplicates teach nothing")


def identity_terms(steps: Sequence[Mapping[str, Any]], fairness: Mapping[str, Any] | None) -> Derived | None:
    """The step that finds the identity terms that `evaluate.fairness` asks for; None where it is written, or none are
    asked for."""
    kinds = (fairness or {}).get("terms")
    if not kinds or any(step["kind"] == "identity_terms" for step in steps):
        return None
    return Derived({"kind": "identity_terms", "kinds": kinds}, "evaluate.fairness.terms asks for these groups")


def shares_of_all(folds: int, rule: Mapping[str, Any]) -> dict[str, Derived]:
    """How rows are divided where each is tested by the model of a fold: the model to ship learns from all of them."""
    shares = {name: Share.parse(rule[name]).value for name in ("train", "validation")}
    reason = f"each row is tested by one of {folds} folds, and the model that ships learns from all"
    validation = round(shares["validation"] / sum(shares.values()), 3)
    found = {"train": round(1 - validation, 3), "validation": validation, "test": 0.0}
    return {name: Derived(str(Share(share, "")), reason) for name, share in found.items()}


def template(task: str) -> Derived:
    """How rows become conversations."""
    return Derived(task, f"the library's template for the task {task!r}")


def objective(facts: Facts, task: str, *, asked: bool = False) -> Derived:
    """What a stage learns from.

    Args:
        facts: of data and base.
        task: what the model is for.
        asked: whether the spec wants the rows asked in several wordings.
    """
    if asked and facts.shape in ("label", "spans") and facts.family != "encoder":
        return Derived({"kind": "sft"}, "prompt.wordings makes instruction data of the labels")
    if facts.shape == "text" and task not in LABELLING:
        return Derived({"kind": "pretrain"}, "the rows are prose without answers")
    if facts.shape == "label" and task in LABELLING:
        return Derived({"kind": "classify"}, f"the rows carry {facts.num_labels} labels and the task is {task!r}")
    if facts.shape == "spans" and task in LABELLING:
        if facts.family == "encoder":
            return Derived({"kind": "tag"}, "the rows carry labelled stretches and the base is an encoder")
        if facts.num_labels == 0:
            return Derived({"kind": "tag"}, "the rows carry labelled stretches and no label of the whole")
        return Derived(
            {"kind": "sft"}, "the rows carry labelled stretches and a label of the whole, which are learned as JSON"
        )
    return Derived({"kind": "sft"}, f"the rows hold answers and the task is {task!r}")


def adapter(facts: Facts, *, fresh: bool) -> Derived:
    """What is trained: everything, or LoRA matrices."""
    if fresh:
        return Derived({"kind": "full"}, "the base starts from random weights, which an adapter cannot make up for")
    if facts.num_parameters < SMALL:
        return Derived(
            {"kind": "full"},
            f"{_millions(facts.num_parameters)} parameters; below {SMALL // 10**6}M an adapter saves nothing",
        )
    return Derived(
        {"kind": "lora"}, f"{_millions(facts.num_parameters)} parameters, of which LoRA trains about one in a hundred"
    )


def learning_rate(facts: Facts, adapter: str, objective: str, *, fresh: bool, pace: float = 1.0) -> Derived:
    """The peak learning rate; `fresh` says that the base starts from random weights, `pace` is as in `usual_rate`."""
    size = facts.num_parameters
    if not fresh:
        return usual_rate(size, adapter, objective, pace=pace)
    rate = min(max(0.003239 - 0.0001395 * math.log(size), 1e-4), 1e-3)
    return _paced(rate, f"{_millions(size)} fresh parameters: 0.003239 - 0.0001395 ln N, from 1e-4 to 1e-3", pace)


def usual_rate(size: int, adapter: str, objective: str, *, pace: float = 1.0) -> Derived:
    """The peak learning rate of a pre-trained base of `size` parameters; `pace` is how many times AdamW's rate is usual
    for the optimizer."""
    full = 5e-5 * 1e8 / size
    if adapter == "full":
        rate = min(max(full, 2e-5), 1e-3)
        why = f"{_millions(size)} parameters trained in full: 5e-5 at 100M, inversely with size, from 2e-5 to 1e-3"
    else:
        most = 1e-3 if adapter in FEW or objective in HEADED else 5e-3
        rate = min(max(10 * full, 2e-4), most)
        why = f"an adapter on {_millions(size)} parameters: ten times that of full training, 2e-4 to {most:g}"
        if adapter in FEW:
            rate, why = FEW[adapter] * rate, f"{why}; {FEW[adapter]} times that, as {adapter} trains very few"
    return _paced(rate, why, pace)


def head(facts: Facts, adapter: str, rate: float, *, pace: float = 1.0) -> Derived:
    """How many times faster than the rest, whose peak rate is `rate`, a head of ours learns."""
    usual = usual_rate(facts.num_parameters, "lora", "classify", pace=pace).value
    if adapter not in FEW or rate <= usual:
        return Derived(HEAD, f"a head starts from nothing, so it learns {HEAD:g} times as fast as the rest")
    why = f"{adapter} learns at {rate:g}; a head at {HEAD:g} times LoRA's {usual:g}, or it would diverge"
    return Derived(_two_digits(HEAD * usual / rate), why)


def _paced(rate: float, why: str, pace: float) -> Derived:
    return Derived(_two_digits(rate * pace), why if pace == 1 else f"{why}; times {pace:g} for this optimizer")


def batch(facts: Facts, objective: str) -> Derived:
    """What one optimizer step learns from."""
    if objective == "pretrain":
        wanted = min(32 * facts.context, max(facts.context, facts.num_train * facts.row_tokens // 100))
        tokens = wanted // facts.context * facts.context
        return Derived(f"{tokens} tokens", f"{tokens // facts.context} sequences of {facts.context} tokens")
    rows = 8 if facts.num_train < 1000 else 16 if facts.num_train < 5000 or objective in ("sft", "distill") else 32
    return Derived(f"{rows} rows", f"{facts.num_train:,} training rows")


def micro_batch(facts: Facts, batch: Batch, max_length: Length) -> Derived:
    """What is computed at once: a memory question only, the result is the same."""
    if not facts.cuda and facts.num_parameters >= SMALL:
        tokens = Batch(max(AT_ONCE, max_length.value), "tokens")
        size = _millions(facts.num_parameters)
        why = f"{size} parameters: more than {tokens} at once would take memory and save no time"
        return Derived(str(min(batch, tokens) if batch.unit == "tokens" else tokens), why)
    budget = 8_192 if not facts.cuda or facts.num_parameters >= 10**9 else 32_768
    why = f"at most {budget:,} tokens at once on {'this GPU' if facts.cuda else 'a CPU'}"
    if batch.unit == "tokens":
        return Derived(str(Batch(min(batch.value, max(budget, max_length.value)), "tokens")), why)
    rows = min(int(batch.value), max(1, budget // int(max_length.value)))
    return Derived(str(Batch(rows, "rows")), f"{why}, rows of up to {max_length}")


def duration(facts: Facts, objective: str, *, fresh: bool) -> Derived:
    """How long a stage lasts."""
    rows = max(facts.num_train, 1)
    if objective == "pretrain":
        tokens = rows * facts.row_tokens
        enough = 20 * facts.num_parameters if fresh else 10_000_000
        epochs = min(max(math.ceil(enough / max(tokens, 1)), 1), 4)
        why = f"up to {tokens:,} tokens of prose; {enough:,} are wanted, and more than 4 epochs teach little"
        return Derived(str(Duration(epochs, "epochs")), why)
    seen, fewest, most = (80_000, 2, 20) if objective in HEADED else (30_000, 1, 10)
    epochs = min(max(round(seen / rows), fewest), most)
    why = f"{rows:,} training rows, of which about {seen:,} are to be seen; {fewest} to {most} epochs"
    return Derived(str(Duration(epochs, "epochs")), why)


def optimizer() -> Derived:
    """How weights move; its learning rate and that of a head are derived by themselves."""
    return Derived({"kind": "adamw", "lr": None, "head": None}, "the usual choice for transformers")


def stratify() -> Derived:
    """What is spread evenly over the splits."""
    return Derived("label", "every label is to be in every split in its share")


def schedule(objective: str) -> Derived:
    """The course of the learning rate."""
    if objective in ("classify", "tag"):
        return Derived({"kind": "cosine", "warmup": "10%"}, "a fresh head makes the first gradients rough")
    return Derived({"kind": "cosine", "warmup": "5%"}, "the usual course: a short warm-up, then a cosine down")


def validate_every(facts: Facts, duration: Duration, batch: Batch) -> Derived:
    """How often the validation rows are measured: about ten times, or once an epoch."""
    tokens_a_row = max(facts.row_tokens, 1)
    rows_a_step = batch.value if batch.unit == "rows" else max(batch.value / tokens_a_row, 1)
    epoch = max(math.ceil(facts.num_train / rows_a_step), 1)
    if duration.unit == "epochs" and duration.value >= 4:
        return Derived("1 epoch", f"{duration} of {epoch:,} steps")
    if duration.unit == "seconds":
        return Derived(f"{min(epoch, 100)} steps", f"an epoch has {epoch:,} steps; how many fit the time is not known")
    whole = {
        "epochs": duration.value * epoch,
        "steps": duration.value,
        "tokens": duration.value / (rows_a_step * tokens_a_row),
    }[duration.unit]
    every = max(math.ceil(whole / 10), 1)
    return Derived(f"{every} steps", f"ten times in about {math.ceil(whole):,} steps")


def watch(objective: str, measured: list[str], *, validated: bool) -> Derived:
    """What looks on, and may stop the training.

    Args:
        objective: of the stage.
        measured: the metrics measured on the validation rows.
        validated: whether there are validation rows.
    """
    if not validated:
        return Derived([{"kind": "diagnose"}], "there are no validation rows to stop by; what goes wrong is still said")
    figure = next((name for name in measured if name in FIGURES_TO_WATCH.get(objective, ())), "loss")
    return Derived(
        [{"kind": "early_stop", "metric": figure}, {"kind": "diagnose"}],
        f"training ends when validation {figure} stops gaining, and what goes wrong is said",
    )


def max_length(facts: Facts, *, prose: bool) -> Derived:
    """The most tokens of a row."""
    if prose:
        return Derived(f"{facts.context} tokens", f"prose fills what the base can read, {facts.context:,} tokens")
    wanted = _round_up(facts.row_tokens * 1.25, 64)
    why = f"99 of 100 rows have at most {facts.row_tokens:,} tokens; a quarter more, in steps of 64"
    if wanted > facts.context:
        return Derived(f"{facts.context} tokens", f"{why}, would be {wanted:,}; the base reads {facts.context:,}")
    return Derived(f"{wanted} tokens", why)


def precision(facts: Facts) -> Derived:
    """The arithmetic of both passes."""
    if facts.bf16:
        return Derived("bf16", "this machine computes bf16 natively")
    return Derived("fp32", "this machine has no fast bf16")


def arms(facts: Facts, objective: str) -> Derived:
    """What the tuned model is compared with."""
    names, why = [], []
    if facts.family != "encoder":
        names.append("base")
        why.append("the base as it is")
    if objective == "classify":
        names += ["majority", "linear"]
        why += ["the commonest label", "a word count"]
    if not names:
        return Derived(_kinds(["tuned"]), "an encoder cannot tag unaided, and there is no commonest tag to stand in")
    said = ", ".join(why[:-1]) + (" and " if why[:-1] else "") + why[-1]
    unaided = "; an encoder cannot answer unaided" if facts.family == "encoder" else ""
    return Derived(_kinds([*names, "tuned"]), f"{said} {'are' if why[1:] else 'is'} to be beaten{unaided}")


def metrics(facts: Facts, task: str, objective: str) -> Derived:
    """What is measured."""
    if objective in METRICS_OF_OBJECTIVE:
        return Derived(_kinds(METRICS_OF_OBJECTIVE[objective]), f"what is usual for the objective {objective!r}")
    if objective == "classify" and facts.labels_per_record > 1:
        return Derived(_kinds(SEVERAL_LABELS), "rows carry several labels")
    return Derived(_kinds(METRICS_OF_TASK[task]), f"what is usual for the task {task!r}")


def delta(facts: Facts) -> Derived:
    """The chance that a private training shows a row by more than epsilon."""
    value = float(f"{0.1 / max(facts.num_train, 1):.1e}")
    return Derived(value, f"a tenth of 1 / {facts.num_train:,} training rows")


def retention() -> Derived:
    """The abilities measured where a target or metric is about them."""
    return Derived(
        {"sources": list(ABILITIES), "max_rows": None},
        "a target or metric is about retention; these abilities come with Tunesmith",
    )


def robustness(metrics: list[dict[str, Any]]) -> Derived:
    """The changes that targets or metrics name."""
    kinds = list(dict.fromkeys(metric["change"] for metric in metrics))
    return Derived({"kinds": kinds}, "targets or metrics are about these changes")


def privacy(spec: Spec) -> Derived | None:
    """Whether attacks on privacy are tried, with what is usual; None where nobody asks for them."""
    asked = [target.metric.kind for target in spec.goal.targets if getattr(target.metric, "rows", "") == "privacy"]
    if asked:
        return Derived({}, f"the target {asked[0]} is measured by attacks")
    planted = any(step.kind == "canaries" for step in spec.data.steps or ())
    return Derived({}, "canaries are planted to be looked for") if planted else None


def explain(metrics: Iterable[str]) -> Derived | None:
    """What answers rest on, with what is usual, where a metric is about it."""
    return Derived({}, "shortcut is measured by leaving words out") if "shortcut" in metrics else None


def max_new_tokens(facts: Facts) -> Derived:
    """The longest answer generated."""
    if facts.answer_tokens == 0:
        return Derived(min(64, facts.context // 2), "no answers to measure")
    wanted = min(_round_up(facts.answer_tokens * 1.5, 16), max(facts.context // 2, 16))
    return Derived(wanted, f"99 of 100 answers have at most {facts.answer_tokens:,} tokens; half as much again")


def _kinds(names: list[str]) -> list[dict[str, str]]:
    return [{"kind": name} for name in names]


def _round_up(value: float, multiple: int) -> int:
    return max(math.ceil(value / multiple), 1) * multiple


def _two_digits(value: float) -> float:
    return float(f"{value:.1e}")


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:,.1f}M"
