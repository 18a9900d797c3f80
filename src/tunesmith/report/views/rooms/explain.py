"""What answers rest on: words they hang on, single rows, layers, a surrogate, training rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tunesmith.evaluate.comparison import Estimate
from tunesmith.evaluate.explain.found import (
    Explained,
    Explanation,
    Nearest,
    Probe,
    Sanity,
    Shortcut,
    Shortcuts,
    Surrogate,
    Tried,
    Without,
)
from tunesmith.report.charts import intervals
from tunesmith.report.charts.grid import grid
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import counted, excerpt, figure, interval, percent

SHADES = 9
STRONGEST = 6
"""Words of a row whose figures are written out."""
COLUMNS = 30
"""Tokens on a map of attention, the first ones."""
LISTED = 12
"""Words listed beside those that are named."""


def view(evidence: Evidence) -> Section | None:
    """The chapter on reasons; None where none were asked for."""
    found = evidence.explanation
    if found is None:
        return None
    content = {
        "says": says(found),
        "confidence": percent(found.confidence, 0),
        "alarm": percent(1 - found.confidence, 0),
        "shortcuts": found.shortcuts and _shortcuts(found.shortcuts),
        "explained": [_explained(each) for each in found.explained],
        "sanity": found.sanity and sanity(found.sanity),
        "probes": [_probe(each) for each in found.probes],
        "surrogate": found.surrogate and _surrogate(found.surrogate),
        "nearest": found.nearest and _nearest(found.nearest),
        "notes": found.notes,
    }
    return Section("explain", "What answers rest on", "Reasons", content)


def says(found: Explanation) -> str:
    """What it comes to, in a few sentences."""
    told = list(_of_words(found.shortcuts)) if found.shortcuts else []
    if found.sanity is not None and found.sanity.passed is False:
        told.append("Attributions are much like those of a model with its weights mixed up: do not lean on them.")
    if found.surrogate is not None and not found.surrogate.means_something:
        told.append("No count of words follows the model closely enough to say anything about it.")
    return " ".join(told) or "Single rows were explained; nothing was tested."


def _of_words(found: Shortcuts) -> Iterator[str]:
    if not found.words:
        yield "Too small to tell whether answers hang on single words."
        return
    yield from (hangs(each) for each in found.named)
    if not found.named:
        yield (
            f"No answers surely hang on a single word: of {counted(len(found.words), 'word')} that were left out and"
            f" put in, none surely changes more than {percent(found.hangs, 0)} of right answers by its absence or more"
            f" than {percent(found.turns, 0)} by its presence."
        )


def hangs(each: Shortcut) -> str:
    """What answers hang on, in a sentence."""
    word = f"\N{LEFT DOUBLE QUOTATION MARK}{excerpt(each.tried.word, 60)}\N{RIGHT DOUBLE QUOTATION MARK}"
    without, put_in = each.tried.left_out.changed, each.tried.put_in.changed
    told = f"The model hangs on {word}: without it {without.hits} of {without.rows} right answers change"
    if put_in.rows:
        told += f", and put in front of {put_in.rows} rows of other labels it turns {put_in.hits}"
    if each.tells:
        return f"{told}, though the other words of rows with it say the label too: a shortcut."
    return f"{told}. The other words of rows with it do not say the label, so it may well be the reason."


def lines(found: Explanation | None) -> list[str]:
    """What of it belongs among the limits of a model card."""
    return list(_of_words(found.shortcuts)) if found is not None and found.shortcuts is not None else []


def sanity(found: Sanity) -> list[str]:
    """Whether attributions can be leant on, in figures."""
    gap = f"The tokens' shares miss what they should sum to by at most {percent(found.gap)} of all that is attributed"
    lines = [gap + (f"; in {counted(found.incomplete, 'row')} by too much." if found.incomplete else ".")]
    lines.append(
        f"The two methods order a row's words alike by {_figures(found.agreement)} (mean rank correlation; 1 is alike)."
    )
    outcome = {
        True: "they hang on what the model has learned",
        False: "they hang on the rows more than on what the model has learned",
        None: "too few rows to tell",
    }[found.passed]
    lines.append(
        f"With the weights mixed up, a model that knows nothing orders the tokens alike by {_figures(found.shuffled)}:"
        f" {outcome}."
    )
    return lines


def _figures(estimate: Estimate) -> str:
    reach = interval(estimate.interval)
    return figure(estimate.value) + (f" ({reach})" if reach else "")


def _share(estimate: Estimate) -> str:
    bounds = estimate.interval
    reach = f" ({percent(bounds[0], 0)} to {percent(bounds[1], 0)})" if bounds else ""
    return f"{percent(estimate.value, 0)}{reach}"


def _shortcuts(found: Shortcuts) -> dict[str, Any]:
    names = {each.tried.word for each in found.named}
    words = [each.tried.word for each in found.named if each.tells]
    return {
        "rows": found.rows,
        "asked": found.asked,
        "count": len(found.words),
        "hangs": percent(found.hangs, 0),
        "turns": percent(found.turns, 0),
        "named": [_named(each) for each in found.named],
        "others": [_tried(each) for each in found.words if each.word not in names][:LISTED],
        "remedy": f"- {{kind: decorrelate_words, words: {_listed(words)}}}" if words else "",
    }


def _listed(words: Sequence[str]) -> str:
    quoted = ", ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words)
    return f"[{quoted}]"


def _tried(each: Tried) -> dict[str, Any]:
    return {
        "word": each.word,
        "label": each.label,
        "left_out": _without(each.left_out),
        "put_in": _without(each.put_in),
    }


def _without(each: Without) -> dict[str, Any]:
    if not each.changed.rows:
        return {"changed": "none there", "share": "", "others": ""}
    others = "" if each.others.value is None else f"{percent(each.others.value, 0)} with other words"
    return {"changed": f"{each.changed.hits} of {each.changed.rows}", "share": _share(each.share), "others": others}


def _named(each: Shortcut) -> dict[str, Any]:
    return {
        **_tried(each.tried),
        "says": "shortcut" if each.tells else "perhaps the reason",
        "css": "missed" if each.tells else "undecided",
        "told": f"{each.told.hits} of {each.told.rows}",
        "chance": percent(each.chance, 0),
        "misled": f"{each.misled.hits} of {each.misled.rows}" if each.misled.rows else "none there",
    }


def _explained(each: Explained) -> dict[str, Any]:
    largest = max((abs(token.value) for token in each.tokens), default=0.0) or 1.0
    strongest = sorted(each.words, key=lambda word: -max(abs(word.gradients), abs(word.ablation)))[:STRONGEST]
    names = [token.text.strip() or "\N{OPEN BOX}" for token in each.tokens[:COLUMNS]]
    shares = [of_layer[:COLUMNS] for of_layer in each.attention]
    return {
        "id": each.id,
        "given": excerpt(each.given, 200),
        "expected": excerpt(each.expected, 200),
        "right": each.given == each.expected,
        "score": figure(each.score, signed=True),
        "what": f"how much likelier than {excerpt(each.against, 60)}" if each.against else "",
        "tokens": [
            {
                "text": token.text,
                "css": _shade(token.value / largest),
                "title": figure(token.value, signed=True),
            }
            for token in each.tokens
        ],
        "words": [
            (word.text, figure(word.gradients, signed=True), figure(word.ablation, signed=True)) for word in strongest
        ],
        "agreement": figure(each.agreement),
        "gap": percent(each.gap),
        "steps": each.steps,
        "attention": grid(
            shares,
            [f"layer {number}" for number in range(1, len(shares) + 1)],
            names,
            title=f"How much each token is looked at, by layer, in {excerpt(each.question, 120)}",
        )
        if shares and names
        else "",
        "cut": max(0, len(each.tokens) - COLUMNS),
        "neighbours": [
            (
                near.id,
                excerpt(near.question, 200),
                excerpt(near.label, 80),
                figure(near.similarity),
                near.label != each.given,
            )
            for near in each.neighbours
        ],
    }


def _shade(share: float) -> str:
    level = min(SHADES, round(abs(share) * SHADES))
    return "" if level == 0 else f"{'for' if share > 0 else 'against'} s{level}"


def _probe(found: Probe) -> dict[str, Any]:
    marks = [
        [
            intervals.Mark(each.accuracy.value or 0.0, each.accuracy.interval, "a"),
            intervals.Mark(each.control.value or 0.0, each.control.interval, "b"),
        ]
        for each in found.layers
    ]
    span = intervals.span_of([mark for both in marks for mark in both], found.base)
    best = found.best
    return {
        "column": found.column,
        "rows": found.rows,
        "num_values": found.values,
        "base": percent(found.base, 0),
        "says": f"Layer {best.layer} says most: {_share(best.accuracy)}, {percent(best.control.value, 0)} for labels"
        f" dealt out anew, {percent(found.base, 0)} by the commonest.",
        "axis": intervals.axis(span),
        "layers": [
            {
                "layer": "input" if each.layer == 0 else f"{each.layer}",
                "accuracy": _share(each.accuracy),
                "control": _share(each.control),
                "drawing": intervals.row(
                    both,
                    span=span,
                    bound=found.base,
                    title=f"layer {each.layer}: {_share(each.accuracy)}; control {_share(each.control)}",
                ),
            }
            for each, both in zip(found.layers, marks, strict=True)
        ],
    }


def _surrogate(found: Surrogate) -> dict[str, Any]:
    return {
        "fidelity": _share(found.fidelity),
        "rows": found.fidelity.num_rows,
        "fitted": found.fitted,
        "base": percent(found.base, 0),
        "means_something": found.means_something,
        "words": [
            (label, ", ".join(f"{word} {figure(weight, signed=True)}" for word, weight in words))
            for label, words in found.words.items()
        ],
    }


def _nearest(found: Nearest) -> dict[str, Any]:
    return {
        "count": found.count,
        "neighbours": found.neighbours,
        "same": _share(found.same),
        "base": percent(found.base, 0),
        "rows": found.same.num_rows,
        "doubted": [
            (
                each.id,
                excerpt(each.question, 200),
                each.expected,
                each.given,
                each.label,
                figure(each.neighbours[0].similarity),
            )
            for each in found.doubted
        ],
    }
