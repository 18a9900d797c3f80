"""A run folder as a real run leaves it, made from a seed in a blink: what the report's tests read."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.data.steps.exact_dedup import SAME
from tunesmith.evaluate.caveats.contamination import clean, contamination
from tunesmith.evaluate.caveats.weigh import weigh
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.predict.stored import read_predictions, write_predictions
from tunesmith.evaluate.verdict import judge
from tunesmith.part import METRICS
from tunesmith.records import Prediction, Record, Span
from tunesmith.runs import Run, write_json, write_text
from tunesmith.spec.sections import Target

INTENTS = ("billing", "bug", "cancel", "delivery", "login", "refund", "upgrade", "other")
CHANNELS = ("email", "chat", "phone")
REGIONS = ("emea", "amer", "apac")
OPENINGS = ("Hello, ", "Hi team, ", "", "Good morning. ", "please help: ")
SENTENCES = {
    "billing": "my invoice {n} shows the wrong amount",
    "bug": "the export button crashes since version {n}",
    "cancel": "I want to end my subscription before the {n}th",
    "delivery": "parcel {n} has not arrived yet",
    "login": "I cannot sign in, error {n} appears",
    "refund": "please pay back order {n}",
    "upgrade": "how do I move to the plan with {n} seats",
    "other": "just wanted to say thanks for ticket {n}",
}
TARGETS: tuple[dict[str, Any], ...] = (
    {"metric": "accuracy", "at_least": 0.9},
    {"metric": "f1_macro", "at_least": 0.85, "slice": {"channel": "email"}},
    {"metric": "latency_p95", "at_most": "300 ms"},
)
SIMPLER = frozenset({"base", "majority", "linear", "prompt", "few_shot"})
"""Arms that cost less than tuning."""
SPEC_TEXT = """\
name: support-triage
goal:
  targets:
    - {metric: accuracy, at_least: 0.90}
    - {metric: f1_macro, at_least: 0.85, slice: {channel: email}}
    - {metric: latency_p95, at_most: 300 ms}
data:
  sources: [tickets.jsonl]
"""


def records(num_rows: int = 240, labels: Sequence[str] = INTENTS, seed: int = 3) -> list[Record]:
    """Labelled tickets with slices, as the test split holds them."""
    random_ = random.Random(seed)
    rows = []
    for number in range(num_rows):
        label = labels[min(int(random_.random() ** 1.6 * len(labels)), len(labels) - 1)]
        sentence = SENTENCES.get(label, f"a question about {label} number {{n}}").format(n=random_.randint(2, 9000))
        slices = {"channel": random_.choice(CHANNELS), "region": random_.choice(REGIONS)}
        rows.append(
            Record(
                id=f"tickets:{number}",
                source=f"tickets.jsonl:{number + 1}",
                text=random_.choice(OPENINGS) + sentence,
                labels=(label,),
                slices=slices,
            )
        )
    return rows


def label_predictions(
    rows: Sequence[Record], right: float, labels: Sequence[str] = INTENTS, seed: int = 1
) -> list[Prediction]:
    """Predictions that are right on about that share of the rows; phone tickets fare worse."""
    random_ = random.Random(seed)
    predictions = []
    for record in rows:
        wanted = record.labels[0]
        chance = right - (0.12 if record.slices.get("channel") == "phone" else 0.0)
        place = list(labels).index(wanted)
        said = wanted if random_.random() < chance else labels[(place + random_.choice((1, 1, 1, 2))) % len(labels)]
        sure = 0.5 + 0.49 * random_.random()
        rest = (1 - sure) / max(len(labels) - 1, 1)
        scores = {label: sure if label == said else rest for label in labels}
        seconds = 0.02 + 0.03 * random_.random()
        predictions.append(Prediction(record, said, wanted, scores=scores, seconds=seconds))
    return predictions


def span_predictions(num_rows: int = 60, seed: int = 5) -> list[Prediction]:
    """Texts with people and places, some found and some missed."""
    random_ = random.Random(seed)
    predictions = []
    for number in range(num_rows):
        person, place = random_.choice(("Ada Lovelace", "Alan Turing")), random_.choice(("London", "Bletchley Park"))
        text = f"{person} arrived in {place} on day {number}."
        spans = (Span(0, len(person), "PER"), Span(text.index(place), text.index(place) + len(place), "LOC"))
        found = spans if random_.random() < 0.7 else spans[: random_.randint(0, 1)]
        record = Record(f"n:{number}", f"names.jsonl:{number + 1}", text=text, spans=spans, slices={"era": "old"})
        predictions.append(Prediction(record, "", "", spans=found, seconds=0.01))
    return predictions


def events(num_steps: int = 300) -> list[dict[str, Any]]:
    """A diary: stages, steps with a falling loss, validations, a note and a warning."""
    random_ = random.Random(0)
    at = 1_760_000_000.0
    told: list[dict[str, Any]] = []
    for stage, seconds in (("data", 6.8),):
        told.append({"at": at, "kind": "stage", "stage": stage, "status": "start"})
        told.append({"at": at + seconds, "kind": "stage", "stage": stage, "status": "done", "seconds": seconds})
    told.append({"at": at, "kind": "stage", "stage": "train-1", "status": "start"})
    lowest = math.inf
    for step in range(1, num_steps + 1):
        loss = 0.25 + 2.4 * math.exp(-step / 45) + random_.gauss(0, 0.05)
        rate = 2e-4 * min(1.0, step / 15) * 0.5 * (1 + math.cos(math.pi * step / num_steps))
        told.append(
            {
                "at": at + step * 0.4,
                "kind": "step",
                "stage": "train-1",
                "step": step,
                "epoch": step / 100,
                "loss": round(loss, 4),
                "lr": rate,
                "grad_norm": round(1.4 * math.exp(-step / 120) + 0.2 * random_.random(), 4),
                "tokens": 96,
                "rows": 16,
                "tokens_seen": step * 610,
                "seconds": round(step * 0.38, 3),
                "total_steps": num_steps,
            }
        )
        if step % 30 == 0:
            held = 0.42 + 2.0 * math.exp(-step / 50) + 0.0000022 * max(0, step - 180) ** 2 + random_.gauss(0, 0.01)
            figures = {"loss": round(held, 4), "accuracy": round(0.95 - 0.7 * math.exp(-step / 60), 4)}
            told.append(
                {
                    "at": at + step * 0.4,
                    "kind": "validation",
                    "stage": "train-1",
                    "step": step,
                    "figures": figures,
                    "best": held < lowest,
                }
            )
            lowest = min(lowest, held)
    told += [
        {"at": at + 130, "kind": "stage", "stage": "train-1", "status": "done", "seconds": 121.4},
        {"at": at + 131, "kind": "resource", "peak_rss_mb": 812.4, "seconds": 131, "cpu_seconds": 236},
        {"at": at + 132, "kind": "note", "text": "training 294,912 parameters of 8,411,648"},
        {"at": at + 133, "kind": "diagnosis", "stage": "train-1", "after": 60, "text": "Plateau: the loss has <stood>"},
        {"at": at + 133, "kind": "warning", "text": "3 rows of the label 'upgrade' are few to learn from."},
        {"at": at + 150, "kind": "stage", "stage": "evaluate", "status": "done", "seconds": 18.7},
    ]
    return told


def environment() -> dict[str, Any]:
    return {
        "tunesmith": "0.1.0",
        "python": "3.11.11",
        "platform": "Linux-6.8-x86_64",
        "cpu": "AMD EPYC 9V74 80-Core",
        "cores": 2,
        "threads": 2,
        "memory_gb": 8.3,
        "device": "cpu",
        "packages": {"torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.0"},
    }


def lineage() -> dict[str, Any]:
    return {
        "run": "support-triage/4",
        "spec_digest": "9f86d081884c7d65",
        "data": [{"path": "tickets.jsonl", "sha256": "ab" * 32, "bytes": 312_448}],
        "base": {"reference": "bundled", "digest": "cd" * 32, "num_parameters": 8_411_648, "licence": "apache-2.0"},
        "code_digest": "1f" * 32,
        "stages": {
            "train-1": {
                "fingerprint": "77aa88bb99cc00dd",
                "steps": 300,
                "tokens": 183_000,
                "seconds": 114.2,
                "stopped": None,
                "best": {"loss": 0.4312},
                "trained_parameters": 294_912,
                "digest": "ef" * 32,
            },
            "evaluate": {"fingerprint": "5566778899aabbcc", "decision": "SHIP", "reason": "", "rows": 240},
        },
        "model_digest": "ef" * 32,
    }


def spec() -> dict[str, Any]:
    """`spec.json`: what `Resolved.to_json` writes, cut to what a report shows."""
    return {
        "spec": {
            "name": "support-triage",
            "goal": {
                "task": "classify",
                "targets": [
                    {"metric": {"kind": "accuracy"}, "at_least": "0.9", "at_most": None, "slice": {}},
                    {
                        "metric": {"kind": "f1_macro"},
                        "at_least": "0.85",
                        "at_most": None,
                        "slice": {"channel": "email"},
                    },
                    {"metric": {"kind": "latency_p95"}, "at_least": None, "at_most": "300 ms", "slice": {}},
                ],
            },
            "data": {
                "sources": [{"path": "tickets.jsonl", "weight": 1.0}],
                "split": {"seed": 0},
                "max_length": "128 tokens",
                "too_long": "truncate",
            },
            "base": {"model": "bundled", "revision": None},
            "train": [
                {
                    "objective": {"kind": "sft"},
                    "adapter": {"kind": "lora", "rank": 16, "alpha": 32},
                    "duration": "3 epochs",
                    "batch": "16 rows",
                    "optimizer": {"kind": "adamw", "lr": 0.0002, "betas": [0.9, 0.999], "weight_decay": 0.01},
                    "schedule": {"kind": "cosine", "warmup": "5%"},
                    "precision": "bf16",
                    "seed": 0,
                }
            ],
            "evaluate": {
                "arms": ["base", "tuned"],
                "metrics": [{"kind": "accuracy"}, {"kind": "f1_macro"}],
                "slices": ["channel", "region"],
                "confidence": 0.95,
                "resamples": 200,
            },
        },
        "origins": {
            "name": "written triage.yaml:1",
            "goal.task": "derived: most records have one label",
            "goal.targets": "written triage.yaml:4",
            "data.sources": "written triage.yaml:8",
            "data.max_length": "derived: 99% of the rows have at most 61 tokens",
            "train.0.adapter": "derived: the base has fewer than 50M parameters",
        },
    }


def ledger() -> dict[str, Any]:
    """`data/ledger.json`: rows and tokens, all accounted for."""

    def split(rows: int, labels: dict[str, int]) -> dict[str, Any]:
        return {
            "rows": rows,
            "labels": labels,
            "examples": rows,
            "tokens": {
                "special": {"total": rows * 6, "trained": rows},
                "system": {"total": rows * 14, "trained": 0},
                "user": {"total": rows * 17, "trained": 0},
                "assistant": {"total": rows * 2, "trained": rows * 2},
            },
            "truncated": {"rows": 3, "tokens": 41},
            "stop": {"answers": rows, "trained": rows},
            "bos": {"1": rows},
            "lengths": {"p50": 38, "p95": 55, "p99": 61, "max": 128},
            "answer_lengths": {"p50": 2, "p95": 3, "p99": 3, "max": 4},
            "bent": 0,
        }

    counts = {label: 520 // (place + 1) for place, label in enumerate(INTENTS)}
    return {
        "task": "classify",
        "need": "chat",
        "max_dropped": 0.5,
        "sources": [
            {
                "path": "tickets.jsonl",
                "format": "jsonl",
                "encoding": "utf-8",
                "shape": "label",
                "columns": {"text": "message", "label": "intent"},
                "why": "columns 'message' and 'intent' are a text and its label",
                "weight": 1.0,
                "split": None,
                "read": 2063,
                "dropped": 173,
                "kept": 1890,
            }
        ],
        "rows": {"read": 2063, "dropped": 173, "kept": 1890, "changed": 412},
        "dropped": [
            {"step": "read", "reason": "not valid JSON", "count": 11, "rows": ["tickets.jsonl:17", "tickets.jsonl:93"]},
            {"step": "clean", "reason": "empty text", "count": 24, "rows": ["tickets.jsonl:4"]},
            {"step": "exact_dedup", "reason": SAME, "count": 138, "rows": ["tickets.jsonl:1201"]},
        ],
        "changed": [{"step": "clean", "reason": "white space", "count": 412, "rows": ["tickets.jsonl:2"]}],
        "duplicates": {"same": 138, "conflicts": 4},
        "splits": {"train": split(1410, counts), "validation": split(240, {}), "test": split(240, {})},
        "epoch": [
            {"source": "tickets.jsonl", "rows": 1400, "drawn": 1000, "unseen": 400},
            {"source": "old.jsonl", "rows": 10, "drawn": 410, "unseen": 0},
        ],
        "notes": ["the chat template of the base writes no system turn of its own"],
    }


def sample() -> list[dict[str, Any]]:
    """`data/sample.json`: one rendered row."""
    turns = [
        ("special", "<s>", False),
        ("special", "<|system|>\n", False),
        ("system", "You", False),
        ("system", " route", False),
        ("system", " support tickets.", False),
        ("special", "<|end|>\n", False),
        ("special", "<|user|>\n", False),
        ("user", "I cannot", False),
        ("user", " sign in, error 4663", False),
        ("user", " appears", False),
        ("special", "<|end|>\n", False),
        ("special", "<|assistant|>\n", False),
        ("assistant", "log", True),
        ("assistant", "in", True),
        ("special", "<|end|>", True),
    ]
    tokens = [{"text": text, "role": role, "trained": trained} for role, text, trained in turns]
    return [{"id": "tickets.jsonl:3", "tokens": tokens}]


def empty_run(root: Path, name: str = "support-triage", number: int = 4) -> Run:
    """A run folder with nothing in it."""
    run = Run(root / "runs" / name / str(number))
    run.path.mkdir(parents=True)
    return run


def fill_data(run: Run) -> None:
    """What the preparation leaves: spec, machine, ledger, sample."""
    write_text(run / "spec.yaml", SPEC_TEXT)
    write_json(run / "spec.json", {"request": "0123456789abcdef", **spec()})
    write_json(run / "environment.json", environment())
    write_json(run / "data" / "ledger.json", ledger())
    write_json(run / "data" / "sample.json", sample())


def fill_training(run: Run) -> None:
    """What the training leaves: the diary and the lineage."""
    write_json(run / "lineage.json", lineage())
    write_text(run / "events.jsonl", "".join(json.dumps(event) + "\n" for event in events()))


def fill_evaluation(
    run: Run,
    arms: Mapping[str, Sequence[Prediction]],
    metrics: Sequence[str] = ("accuracy", "f1_macro", "latency_p95"),
    targets: Sequence[Mapping[str, Any]] = TARGETS,
    task: str | None = "classify",
    trained: Sequence[Record] = (),
    seeds: Sequence[Sequence[Prediction]] = (),
) -> None:
    """What the evaluation leaves, made by the evaluation itself; `trained` are the rows that were trained on."""
    met = contamination([row.record for row in arms["tuned"]], {"train": trained})
    write_json(run / "evaluation" / "contamination.json", met.to_json())
    for arm, predictions in arms.items():
        write_predictions(run / "evaluation" / f"predictions-{arm}.parquet", predictions)
    arms = {arm: clean(rows, met) for arm, rows in arms.items()}
    measured: list[Any] = [METRICS.make(name) for name in metrics]
    comparison = compare(
        arms,
        measured,
        slices=["channel", "region"],
        task=task,
        resamples=200,
        seeds=seeds,
        discover=["length", "label"],
    )
    write_json(run / "evaluation" / "comparison.json", comparison.to_json())
    wanted = [Target.model_validate(dict(target)) for target in targets]
    judged = judge(wanted, arms["tuned"], task=task, resamples=200, arms=arms)
    verdict = weigh(judged, comparison, met, SIMPLER & arms.keys())
    write_json(run / "evaluation" / "verdict.json", verdict.to_json())


def full_run(root: Path, right: float = 0.96, labels: Sequence[str] = INTENTS, num_rows: int = 240) -> Run:
    """A whole run of the classification task; `right` is about how often the tuned model is."""
    run = empty_run(root)
    fill_data(run)
    fill_training(run)
    rows = records(num_rows, labels)
    arms = {"base": label_predictions(rows, 0.35, labels, 1), "tuned": label_predictions(rows, right, labels, 2)}
    fill_evaluation(run, arms)
    return run


def asked() -> dict[str, Any]:
    """`evaluation/arms.json`: how arms were asked, and what they noted."""
    variant = {"system": "", "temperature": 0.0, "template": "{{ text }}"}
    variants = [
        {**variant, "name": "classify, wording 1", "value": 0.71, "interval": [0.66, 0.76]},
        {**variant, "name": "classify, wording 2", "system": "Be brief.", "value": 0.78, "interval": [0.73, 0.82]},
    ]
    chose = {"metric": "accuracy", "validation_rows": 200, "variants": variants, "chosen": 1}
    return {
        "base": {"print": "1f", "arm": {"kind": "base"}, "found": {}},
        "few_shot": {
            "print": "2e",
            "arm": {"kind": "few_shot", "model": "base"},
            "found": {"examples_a_row": 3.5, "left_out_for_room": 200},
        },
        "linear": {
            "print": "3d",
            "arm": {"kind": "linear"},
            "found": {"rows": 1410, "features": 8112, "inverse_regularisation": 8.0},
        },
        "prompt": {"print": "4c", "arm": {"kind": "prompt", "model": "run:triage/3"}, "found": chose},
        "aloud": {
            "print": "5b",
            "arm": {"kind": "chain_of_thought", "model": "base"},
            "found": {"named_an_answer": 180, "rows": 240},
        },
    }


def crowded_run(root: Path) -> Run:
    """A run that a review board should stop: many arms, a linear model as good, phone tickets worse than before."""
    run = empty_run(root)
    fill_data(run)
    fill_training(run)
    rows = records(400)
    shares = {"base": 0.72, "majority": 0.2, "few_shot": 0.78, "prompt": 0.75, "aloud": 0.7, "linear": 0.9}
    shares["tuned"] = 0.88
    arms = {arm: label_predictions(rows, share, seed=seed) for seed, (arm, share) in enumerate(shares.items())}
    arms["tuned"] = [
        replace(row, output="other") if row.record.slices["channel"] == "phone" and n % 3 else row
        for n, row in enumerate(arms["tuned"])
    ]
    write_json(run / "evaluation" / "arms.json", asked())
    fill_evaluation(run, arms, trained=[replace(row, source=f"old.jsonl:{n}") for n, row in enumerate(rows[:9])])
    return run


KEPT_WORDS = frozenset({"kind", "status", "decision", "outcome", "sense", "better", "arms", "stage", "need", "split"})
"""Fields whose words are the program's own."""
NAMED_BY_DATA = frozenset({"labels", "slices", "slice", "columns", "packages", "origins", "figures"})
"""Mappings whose keys come from outside."""


def poisoned(value: Any, payload: str, field: str = "") -> Any:
    """A JSON value with `payload` put into every text that a stranger could have written."""
    if isinstance(value, dict):
        named = field in NAMED_BY_DATA and not any(isinstance(item, (dict, list)) for item in value.values())
        return {
            (key + payload if named else key): item if key in KEPT_WORDS else poisoned(item, payload, key)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [poisoned(item, payload) for item in value]
    return value + payload if isinstance(value, str) else value


def poison(run: Run, payload: str) -> None:
    """Puts `payload` into every file of the run."""
    for path in run.path.rglob("*.json"):
        write_json(path, poisoned(json.loads(path.read_text("utf-8")), payload))
    lines = [poisoned(json.loads(line), payload) for line in (run / "events.jsonl").read_text("utf-8").splitlines()]
    write_text(run / "events.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    write_text(run / "spec.yaml", SPEC_TEXT + f"# {payload}\n")
    for path in (run / "evaluation").glob("*.parquet"):
        write_predictions(path, [_poisoned_row(row, payload) for row in read_predictions(path)])


def _poisoned_row(row: Prediction, payload: str) -> Prediction:
    record = Record.from_json(poisoned(row.record.to_json(), payload))
    scores = {label + payload: score for label, score in row.scores.items()}
    return replace(row, record=record, output=row.output + payload, expected=row.expected + payload, scores=scores)
