"""The spec a study recommends: the user's own text, with the values of a trial put in and the reason beside each."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from tunesmith.flow.search.bench import Bench
from tunesmith.runs import write_text
from tunesmith.search.study import Study, Trial, Value
from tunesmith.spec.load import Written
from tunesmith.spec.overrides import COMMAND_LINE

WIDE = 10_000
"""Columns before a line of YAML is broken: never."""


def reason(study: Study, chosen: Trial, rows: int) -> list[str]:
    """Why a trial is chosen, in sentences: its figures, against those of the spec as it is, and how sure that is."""
    first = study.trials[0]
    ended = [trial for trial in study.trials if trial.state != "running"]
    kinds = ", ".join(
        f"{sum(trial.state == state for trial in ended)} {said}"
        for state, said in (("done", "trained to the end"), ("pruned", "ended early"), ("failed", "failed"))
        if any(trial.state == state for trial in ended)
    )
    lines = [f"trial {chosen.number} of {len(ended)} ({kinds}): {said_figures(study, chosen)} on the validation rows"]
    if chosen.number == 0:
        return [*lines, "no trial does better than the spec as it is"]
    if not first.values:
        return [*lines, f"the spec as it is {first.state}: {first.said}"]
    lines.append(f"the spec as it is: {said_figures(study, first)}")
    noise = _noise(study, chosen, first, rows)
    gain = study.aims[0].gain(chosen.values[0], first.values[0])
    if noise is None:
        lines.append(
            f"the gain of {gain:.4g} is that of the best of {len(ended)}, and so more than what new rows will show"
        )
    else:
        sure = "more than" if gain > noise else "no more than"
        lines.append(
            f"the gain of {gain:.4g} is {sure} chance alone makes of {rows} rows ({noise:.4g}, 95%, no allowance for "
            f"having chosen the best of {len(ended)})"
        )
    return lines


def said_figures(study: Study, trial: Trial) -> str:
    """What a trial came to, by each aim."""
    named = zip(study.aims, trial.values, strict=False)
    return ", ".join(f"{aim.name} {value:.4g}{f' {aim.unit}' if aim.unit else ''}" for aim, value in named)


_SHARES = {"accuracy", "exact_match", "f1_micro"}
"""Aims that are the share of rows that are right, whose chance is that of a coin."""


def _noise(study: Study, one: Trial, other: Trial, rows: int) -> float | None:
    """How far two trainings as good as each other lie apart on so many rows, 95 times of 100; None if not known.

    As if the rows that each gets wrong had nothing to do with each other, which is the most there can be.
    """
    if study.aims[0].name not in _SHARES or not rows:
        return None
    spread = sum(trial.values[0] * (1 - trial.values[0]) / rows for trial in (one, other))
    return 1.96 * math.sqrt(spread)


def winner_text(bench: Bench, study: Study, chosen: Trial, folder: Path) -> str:
    """The spec of a trial as YAML, to lie in `folder`.

    Args:
        bench: of the study.
        study: with its trials.
        chosen: the trial.
        folder: where it will lie, from which the paths in it are followed.
    """
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, WIDE
    original = (bench.run / "spec.yaml").read_text("utf-8")
    tree = yaml.load(original)
    if not isinstance(tree, CommentedMap):
        raise TypeError("a spec is a mapping")
    written, changes = bench.request.written, dict(_commanded(bench.request.written))
    said = dict.fromkeys(changes, "")
    if chosen.number:
        changes |= chosen.params
        said |= {dimension.path: _why(dimension.path, study) for dimension in study.dimensions}
    for path, value in changes.items():
        _put(tree, path.split("."), value, said[path])
    if bench.request.spec.train[-1].validate_every is None and chosen.course:
        at = ["train"] if not isinstance(tree.get("train"), list) else ["train", str(len(tree["train"]) - 1)]
        _put(tree, [*at, "validate_every"], f"{chosen.course[0][0]} steps", "as often as the trial was measured")
    home = os.path.relpath(written.folder.resolve(), folder.resolve())
    tree.insert(0, "relative_to", home, comment="where the spec lay: the paths below are followed from there")
    stream = io.StringIO()
    yaml.dump(tree, stream)
    head = "\n".join(f"# {line}" for line in reason(study, chosen, len(bench.job.splits["validation"])))
    return f"# Found by `tunesmith search`, study {study}.\n{head}\n{stream.getvalue()}"


def _why(path: str, study: Study) -> str:
    first: Value = study.trials[0].params.get(path)
    return f"was {first}" if first is not None else "was left open"


def _commanded(written: Written) -> Iterator[tuple[str, Any]]:
    """What overrides put into the spec that is searched, whole where several lines of one thing were."""
    paths = [path for path, place in written.lines.items() if place == COMMAND_LINE and path]
    for path in paths:
        if any(path.startswith(f"{other}.") for other in paths) or path.startswith("search"):
            continue
        value: Any = written.tree
        for key in path.split("."):
            value = value[int(key)] if isinstance(value, list) else value[key]
        yield path, value


def _put(tree: Any, keys: list[str], value: Any, comment: str) -> None:
    """Puts a value at a path, a comment beside it; what is a bare name becomes a mapping where it must."""
    for depth, key in enumerate(keys[:-1]):
        place: Any = int(key) if isinstance(tree, list) else key
        inner = tree[place] if isinstance(tree, list) else tree.get(place)
        if not isinstance(inner, (dict, list)):
            shorthand = "path" if keys[:2] == ["data", "sources"] and depth == 2 else "kind"
            inner = CommentedMap() if inner is None else CommentedMap({shorthand: inner})
            tree[place] = inner
        tree = inner
    last: Any = int(keys[-1]) if isinstance(tree, list) else keys[-1]
    tree[last] = value
    if comment and hasattr(tree, "yaml_add_eol_comment") and not tree.fa.flow_style():
        tree.yaml_add_eol_comment(comment, last)


def write_winner(bench: Bench, study: Study, chosen: Trial, path: Path) -> None:
    """Writes a trial's spec; a file that it extends comes to lie beside it."""
    text = winner_text(bench, study, chosen, path.parent)
    if found := re.search(r"^extends: *['\"]?([^'\"\n#]+)", text, re.MULTILINE):
        parent = found.group(1).strip()
        write_text(path.parent / parent, (bench.request.written.path.parent / parent).read_text("utf-8"))
    write_text(path, text)
