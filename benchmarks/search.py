"""At what part of the compute of 40 random trials a search reaches their best validation score.

    TUNESMITH_DATA=... python benchmarks/search.py table snips          trains 240 networks on real rows, once
    python benchmarks/search.py race snips --seeds 20                   searches on what they came to
    TUNESMITH_DATA=... python benchmarks/search.py tune snips --seeds 3   searches of fine-tunings, in the folder --work

A table holds real trainings: a network with one hidden layer over TF-IDF of the rows, trained with Adam for nine
epochs and measured on validation rows after each, with other values of five settings. What lies between its points is
the mean of those near, weighted by their nearness, so that hundreds of searches cost seconds and no search is sent
after the luck of a single training. The searches themselves are Tunesmith's own: `propose` and `Pruning`, as
`tunesmith search` asks them.

`tune` fine-tunes a base on some rows instead, forty times by chance and then by a search, with the space that Tunesmith
derives, and counts compute in tokens trained on. Interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from pathlib import Path

import numpy as np

from tunesmith.search.pruning import Pruning
from tunesmith.search.sampling import Asked, propose, settled
from tunesmith.search.study import Aim, Dimension, Study, Trial
from tunesmith.spec.rooms.search import Search

LOOKS = 9
RANDOM = 40
NEAR, WIDTH = 16, 0.15
"""Trainings whose mean tells what lies between, and how fast their weight falls with the distance in the unit cube."""
MOST = 120
"""Trials after which a search is given up."""
SPACE = (
    Dimension("lr", "float", 1e-5, 1e-1, log=True),
    Dimension("batch", "int", 8, 128, log=True),
    Dimension("decay", "float", 1e-6, 1e-1, log=True),
    Dimension("width", "int", 8, 128, log=True),
    Dimension("momentum", "float", 0.5, 0.99),
)
FILES = {
    "snips": "nlu_snips_train.jsonl",
    "banking": "cls_banking77_train.jsonl",
    "reviews": "cls_product_reviews.jsonl",
}
ROWS = {"snips": (600, 400), "banking": (2000, 1000), "reviews": (1500, 1000)}
TABLES = Path(os.environ.get("TUNESMITH_TABLES", "."))


def table(name: str, count: int) -> None:
    """Trains networks with values drawn at random, and keeps their courses."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neural_network import MLPClassifier

    lines = (Path(os.environ["TUNESMITH_DATA"]) / FILES[name]).read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row.get("label")]
    np.random.default_rng(0).shuffle(rows)
    train, validation = ROWS[name]
    texts, labels = [row["text"] for row in rows], np.array([row["label"] for row in rows])
    vectors = TfidfVectorizer(max_features=2000).fit(texts[:train]).transform(texts[: train + validation])
    draw, found, classes = np.random.default_rng(1), [], np.unique(labels)
    path = TABLES / f"table-{name}.json"
    for number in range(count):
        lr, batch, decay, width = (float(10 ** draw.uniform(*np.log10((d.low, d.high)))) for d in SPACE[:4])
        params = {"lr": lr, "batch": round(batch), "decay": decay, "width": round(width)}
        params["momentum"] = float(draw.uniform(0.5, 0.99))
        network = MLPClassifier(
            hidden_layer_sizes=(params["width"],), learning_rate_init=lr, batch_size=params["batch"], alpha=decay,
            beta_1=params["momentum"], random_state=number,
        )  # fmt: skip
        course = []
        for _ in range(LOOKS):
            network.partial_fit(vectors[:train], labels[:train], classes=classes)
            course.append(float(network.score(vectors[train:], labels[train : train + validation])))
        found.append({"params": params, "course": course})
        if number % 10 == 9 or number == count - 1:
            path.write_text(json.dumps(found))
            print(f"{name}: {number + 1} of {count}, best {max(max(each['course']) for each in found):.4f}", flush=True)


class Surrogate:
    """What a training would come to, by those in a table."""

    def __init__(self, name: str) -> None:
        found = json.loads((TABLES / f"table-{name}.json").read_text())
        self._places = np.array([self._place(each["params"]) for each in found])
        self._courses = np.array([each["course"] for each in found])

    @staticmethod
    def _place(params: dict[str, float]) -> list[float]:
        place = []
        for d in SPACE:
            low, high, value = (math.log(v) if d.log else v for v in (d.low, d.high, params[d.path]))
            place.append((value - low) / (high - low))
        return place

    def course(self, params: dict[str, float]) -> list[float]:
        far = ((self._places - self._place(params)) ** 2).sum(axis=1)
        near = np.argsort(far)[:NEAR]
        weights = np.exp(-far[near] / (2 * WIDTH**2)) + 1e-12
        return [float(v) for v in (self._courses[near] * (weights / weights.sum())[:, None]).sum(axis=0)]


def play(
    surrogate: Surrogate, seed: int, trials: int, *, goal: float = math.inf, **rules: object
) -> list[tuple[int, float]]:
    """(looks spent in all, best score so far) after each trial of a search, which ends once it has reached the goal."""
    given = settled(Search.model_validate({"trials": trials, "looks": LOOKS, "seed": seed, **rules}), len(SPACE))
    study = Study("race", 1, (Aim("accuracy", "maximize"),), SPACE, given.sampler, given.pruner or "none", trials)
    asked = Asked(study, given, propose(Asked(study, replace_sampler(given), {}), 1, [])[0])  # a spec drawn by chance
    done: list[Trial] = []
    spent, best, found = 0, 0.0, []
    for number in range(trials):
        params, origin = propose(asked, number, done)
        pruning, course, reason = Pruning(asked, number, done), [], None
        for look, score in enumerate(surrogate.course(params), 1):
            course.append((look, score))
            reason = pruning.after(score)
            if reason:
                break
        value = course[-1][1] if reason else max(score for _, score in course)
        state = "pruned" if reason else "done"
        done.append(Trial(number, params, origin, state, (value,), tuple(course)))
        spent += len(course)
        best = max(best, value)
        found.append((spent, best))
        if best >= goal:
            break
    return found


def replace_sampler(rules: Search) -> Search:
    return rules.model_copy(update={"sampler": "random", "seed": rules.seed + 1000})


def race(name: str, seeds: int, settings: list[dict[str, object]]) -> None:
    """Prints, for each setting, the part of the compute at which the best of 40 random trials is reached."""
    surrogate = Surrogate(name)
    goals = [play(surrogate, seed, RANDOM, sampler="random", pruner="none")[-1] for seed in range(seeds)]
    print(f"{name}: {RANDOM} random trials: best {statistics.mean(best for _, best in goals):.4f} over {seeds} seeds")
    for setting in settings:
        began, parts = time.monotonic(), []
        for seed, (whole, goal) in enumerate(goals):
            course = play(surrogate, seed, MOST, goal=goal - 1e-9, **setting)
            parts.append(next((spent / whole for spent, best in course if best >= goal - 1e-9), math.inf))
        parts.sort()
        under = sum(part < 1 / 3 for part in parts) / seeds
        said = " ".join(f"{key}={value}" for key, value in setting.items())
        print(
            f"  {said:60} median {statistics.median(parts):.2f}  quartiles {parts[seeds // 4]:.2f} to "
            f"{parts[3 * seeds // 4]:.2f}  under a third {under:.0%}  ({time.monotonic() - began:.0f} s)",
            flush=True,
        )


SPEC = """\
name: tune
goal: {{task: classify}}
data: {{sources: [rows.jsonl], split: {{train: 0.6, validation: 0.3, test: 0.1}}}}
base: {{model: {base}}}
train: {{adapter: {adapter}, duration: {duration}}}
search: {{trials: {trials}{aims}}}
scale: {{jobs: {jobs}}}
"""


def tune(given: argparse.Namespace) -> None:
    """Prints, for each seed, the part of the compute of 40 random fine-tunings at which a search is as good."""
    from tunesmith.flow.search import search

    work: Path = given.work
    work.mkdir(parents=True, exist_ok=True)
    lines = (Path(os.environ["TUNESMITH_DATA"]) / FILES[given.name]).read_text("utf-8").splitlines()
    found = [row for row in map(json.loads, lines) if row.get("label")]
    np.random.default_rng(0).shuffle(found)
    (work / "rows.jsonl").write_text(
        "".join(json.dumps({key: row[key] for key in ("text", "label")}) + "\n" for row in found[: given.rows])
    )
    spec = work / "tune.yaml"
    aims = f", aims: [{given.aim}]" if given.aim else ""
    spec.write_text(SPEC.format(trials=RANDOM, aims=aims, **vars(given)))
    parts: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(given.seeds):
        seeded = f"search.seed={seed}"
        plain = ("search.sampler=random", "search.pruner=none", "search.reduction=null")
        chance = search(spec, (f"name=chance-{seed}", seeded, *plain), work).study
        sought = search(spec, (f"name=sought-{seed}", seeded), work).study
        said = []
        for drawn, whose in ((False, "with the spec as it is"), (True, "drawn trials alone")):
            goal, number, part = reached(chance, sought, drawn)
            parts[drawn].append(part)
            said.append(f"{whose} {goal:.4f} at {part:.2f} (trial {number})")
        print(f"seed {seed}: best of {RANDOM} random trials by {sought.aims[0].name}: {'; '.join(said)}", flush=True)
    for drawn, whose in ((False, "with the spec as it is"), (True, "drawn trials alone")):
        part = statistics.median(parts[drawn])
        print(f"{given.name}, {given.base}, {given.adapter}, {whose}: median {part:.2f} of their compute")


def reached(chance: Study, sought: Study, drawn: bool) -> tuple[float, int | None, float]:
    """(best score of the random trials, the trial of the search that is as good, part of the compute by then); of the
    drawn ones alone, or with trial 0, the spec as it is. Infinite where none is as good."""
    aim, spent, whole = sought.aims[0], 0, sum(trial.tokens for trial in chance.trials)
    scores = [trial.values[0] for trial in chance.done if trial.number >= drawn]
    goal = max(scores) if aim.direction == "maximize" else min(scores)
    for trial in sought.trials:
        spent += trial.tokens
        if trial.state == "done" and trial.number >= drawn and aim.gain(trial.values[0], goal) >= 0:
            return goal, trial.number, spent / whole
    return goal, None, math.inf


SETTINGS: list[dict[str, object]] = [
    {"sampler": "random", "pruner": "none"},
    {"sampler": "random", "pruner": "asha"},
    {"sampler": "tpe", "pruner": "none"},
    {"sampler": "tpe", "pruner": "median"},
    {"sampler": "tpe", "pruner": "hyperband"},
    {"sampler": "tpe", "pruner": "asha"},
    {"sampler": "tpe", "pruner": "asha", "together": 1},
    {"sampler": "tpe", "pruner": "asha", "together": 4},
    {"sampler": "tpe", "pruner": "asha", "startup": 5},
    {"sampler": "tpe", "pruner": "asha", "startup": 20},
    {"sampler": "tpe", "pruner": "asha", "reduction": 2},
    {"sampler": "tpe", "pruner": "asha", "reduction": 4},
    {"sampler": "tpe", "pruner": "asha", "grace": 1},
    {"sampler": "tpe", "pruner": "asha", "grace": 2},
    {"sampler": "gp", "pruner": "asha"},
]

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["table", "race", "tune"])
    parser.add_argument("name", choices=list(FILES))
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", help="settings whose text holds this")
    parser.add_argument("--base", default="bundled")
    parser.add_argument("--adapter", default="lora")
    parser.add_argument("--duration", default="3 epochs")
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--aim", help="what is sought, such as loss; what the spec comes to when left out")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("search"))
    given = parser.parse_args()
    if given.what == "table":
        table(given.name, given.count)
    elif given.what == "tune":
        tune(given)
    else:
        wanted = [s for s in SETTINGS if not given.only or given.only in str(s)]
        race(given.name, given.seeds, wanted)
