"""What to do about what an audit found: findings in words, with figures, and the lines of a spec that mend them.

Thresholds are set so that a healthy data set has no finding but those that only inform.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.data.audit.coverage import half_width, rows_needed
from tunesmith.part import STEPS
from tunesmith.spec.quantity import Share

if TYPE_CHECKING:
    from tunesmith.data.audit import Asked

Level = Literal["do", "look", "know"]
LEVELS: tuple[Level, ...] = ("do", "look", "know")

NEAR_SHARE, NEAR_ROWS = 0.02, 10
UNEVEN, DOMINANT = 10.0, 0.8
RARE = 10
FOREIGN_SHARE, FOREIGN_ROWS = 0.01, 5
CUT_SHARE = 0.01
SAME_ANSWER = 0.2
THIN_GROUP = 0.01
ALIKE = 0.3
WRONG = 0.03
NAMED = 4


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    id: str
    level: Level
    """`do`: it harms the model or the figures; `look`: it may; `know`: it says how far figures reach."""
    weight: float
    """Within a level, what matters more comes first."""
    said: str
    """What was found, with figures."""
    why: str
    """What it does to a model or a figure."""
    fix: str
    """What to do, in words."""
    yaml: str = ""
    """The lines of the spec that do it; empty where no setting can."""


Found = Mapping[str, Any]
Rule = Callable[[Found, "Asked"], Iterator[Finding]]


def advise(found: Found, asked: Asked) -> list[dict[str, Any]]:
    """All findings, what matters most first."""
    made = [finding for rule in RULES for finding in rule(found, asked)]
    return [asdict(f) for f in sorted(made, key=lambda f: (LEVELS.index(f.level), -f.weight, f.id))]


def steps_with(asked: Asked, kind: str, **settings: Any) -> str:
    """The lines that put a step behind those there are, in place of one of the same kind; empty where there is no such
    step."""
    if kind not in STEPS.names():
        return ""
    step: Any = {"kind": kind, **settings} if settings else kind
    kinds = [each if isinstance(each, str) else each["kind"] for each in asked.steps]
    kept = list(asked.steps)
    if kind in kinds:
        kept[kinds.index(kind)] = step
    else:
        kept.append(step)
    return f"data:\n  steps: {_flow(kept)}"


def _flow(value: Any) -> str:
    """A value as one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str) and value.replace("_", "").isalnum() and not value[0].isdigit():
        return value
    return json.dumps(value, ensure_ascii=False)


def _gates(found: Found, asked: Asked) -> Iterator[Finding]:
    if found["refused"]:
        yield Finding("refused", "do", 1e9, found["refused"], "A run of this spec would not start.", "")


def _leaks(found: Found, asked: Asked) -> Iterator[Finding]:
    copies = found["copies"]
    tested = found["sizes"]["splits"][2]["rows"] + found["sizes"]["splits"][1]["rows"]
    if copies["crossing"]:
        yield Finding(
            "leak", "do", 1e6 * copies["crossing"] / max(tested, 1),
            f"{_count(copies['crossing'], 'validation or test row')} nearly equal"
            f"{'s' if copies['crossing'] == 1 else ''} a row of an earlier split.",
            "The model has seen what it is tested on, so the verdict is better than the model.",
            "Keep near-copies in one split.",
            "data:\n  split: {leakage: together}",
        )  # fmt: skip


def _copies(found: Found, asked: Asked) -> Iterator[Finding]:
    copies, rows = found["copies"], found["copies"]["rows"]
    exact, near = copies["exact"], copies["near"]
    if exact:
        yield Finding(
            "exact-copies", "do" if exact > NEAR_SHARE * rows else "look", 1000 * exact / rows,
            f"{_count(exact, 'row')} repeat{'s' if exact == 1 else ''} another word for word ({_share(exact, rows)}).",
            "They count double in training, and crowd out what is rare.",
            "Leave copies out, in whatever case they are written.",
            steps_with(asked, "exact_dedup", ignore=["case", "whitespace"]),
        )  # fmt: skip
    if near - exact >= max(NEAR_ROWS, NEAR_SHARE * rows):
        yield Finding(
            "near-copies", "look", 900 * near / rows,
            f"{_count(near - exact, 'row')} nearly repeat another ({_share(near - exact, rows)}); the largest"
            f" cluster has {copies['largest']}.",
            "The model learns those wordings by heart.",
            "Keep the best of each cluster.",
            steps_with(asked, "near_dedup", threshold=copies["similarity"]),
        )  # fmt: skip
    if copies["conflicts"]:
        yield Finding(
            "conflicts", "do", 2000 * copies["conflicts"] / rows + 100,
            f"{_count(copies['conflicts'], 'row')} ha{'s' if copies['conflicts'] == 1 else 've'} the words of another"
            " row and another label.",
            "Whatever the model answers, one of the two is wrong.",
            "Settle which label is right in the source; `exact_dedup` would keep the first.",
        )  # fmt: skip


def _labels(found: Found, asked: Asked) -> Iterator[Finding]:
    balance = found["labels"]
    if balance is None:
        return
    labels = balance["labels"]
    few = [one for one in labels if one["train"] < RARE]
    untested = [one for one in labels if not one["test"] and one["rows"] >= 3 and not asked.folded]
    if balance["ratio"] >= UNEVEN or balance["majority"] >= DOMINANT:
        most, least = labels[0], labels[-1]
        yield Finding(
            "imbalance", "do" if balance["majority"] >= DOMINANT else "look", 500 * (1 - balance["entropy"]) + 50,
            f"{most['label']!r} has {most['rows']:,} rows and {least['label']!r} {least['rows']:,}"
            f" ({balance['ratio']:,.0f} to 1); always saying {most['label']!r} is right in {balance['majority']:.1%}.",
            "Accuracy hides a model that never says the rare labels.",
            "Measure all labels alike and hold a target to that, and let the rare ones count more in training; the"
            " figures before and after stand in the ledger.",
            f"goal:\n  targets: [{{metric: f1_macro, at_least: 0.8}}]\n{steps_with(asked, 'class_weights')}",
        )  # fmt: skip
    if few:
        yield Finding(
            "rare-labels", "do" if len(few) > len(labels) / 10 else "look", 300 * len(few) / len(labels) + 20,
            f"{_count(len(few), 'label')} ha{'s' if len(few) == 1 else 've'} fewer than {RARE} training rows:"
            f" {_named(one['label'] for one in few)}.",
            "So few rows are learned by heart, not understood.",
            f"Add rows until each has {RARE}, or join labels that mean the same.",
        )  # fmt: skip
    if untested:
        yield Finding(
            "untested-labels", "do", 200 * len(untested) / len(labels) + 30,
            f"{_count(len(untested), 'label')} ha{'s' if len(untested) == 1 else 've'} no test row:"
            f" {_named(one['label'] for one in untested)}.",
            "The verdict says nothing of them.",
            "Spread labels evenly over the splits, or give the test split a larger share.",
            _shares(asked, max(0.2, 2 * _share_of(asked, "test", 0.1))),
        )  # fmt: skip


def _sizes(found: Found, asked: Asked) -> Iterator[Finding]:
    sizes = found["sizes"]
    train, tested = sizes["splits"][0], sizes["splits"][2]["rows"]
    if train["truncated"] > CUT_SHARE * max(train["rows"], 1):
        yield Finding(
            "cut", "do", 800 * train["truncated"] / train["rows"],
            f"{_count(train['truncated'], 'training row')} lose {train['lost_tokens']:,} tokens to the limit of"
            f" {asked.max_length} tokens.",
            "What is cut off is not learned; of an answer it is the end.",
            "Raise the limit as far as the base reads, or leave such rows out rather than learn halves.",
            "data:\n  too_long: drop",
        )  # fmt: skip
    if sizes["empty"]:
        yield Finding(
            "empty", "do", 700 * sizes["empty"] / sizes["rows"],
            f"{_count(sizes['empty'], 'row')} hold{'s' if sizes['empty'] == 1 else ''} no words.",
            "There is nothing to learn from them.",
            "Leave them out.",
            steps_with(asked, "clean"),
        )  # fmt: skip
    width = half_width(tested)
    if width is not None and tested < rows_needed():
        total = sizes["rows"]
        share = min(0.4, rows_needed() / total)
        enough = rows_needed() <= 0.4 * total
        yield Finding(
            "small-test", "look" if tested < 100 else "know", 100 * width,
            f"{_count(tested, 'test row')} tell a share of right answers to about ±{100 * width:.0f} points.",
            "Targets nearer to the result than that stay undecided.",
            f"For ±5 points whatever the result it takes {rows_needed()} test rows"
            + ("." if enough else f"; of {total:,} rows in all, add some, or test every row by folds."),
            _shares(asked, share) if enough else "evaluate: {folds: 5}",
        )  # fmt: skip


def _share_of(asked: Asked, split: str, usual: float) -> float:
    return Share.parse(asked.split.get(split, usual)).value


def _shares(asked: Asked, test: float) -> str:
    """The lines for another share of test rows; validation keeps its own."""
    validation = round(_share_of(asked, "validation", 0.1), 3)
    test = round(min(test, 0.4, (1 - validation) / 2), 2)
    return f"data:\n  split: {{train: {round(1 - validation - test, 3):g}, validation: {validation:g}, test: {test:g}}}"


def _languages(found: Found, asked: Asked) -> Iterator[Finding]:
    languages = found["languages"]
    if languages["other"] >= FOREIGN_ROWS and languages["other"] > FOREIGN_SHARE * languages["rows"]:
        kept = languages["main"]
        others = [name for name in languages["counts"] if name not in (kept, "not told")]
        yield Finding(
            "languages", "look", 600 * languages["other"] / languages["rows"],
            f"{_count(languages['other'], 'row')} ({_share(languages['other'], languages['rows'])}) are not in {kept!r}"
            f" as the others, but in {_named(others)}.",
            "A model that few rows teach a language speaks it badly, and English metrics misjudge it.",
            "Leave them out, or name them among the languages to keep and report by them.",
            steps_with(asked, "language", keep=[kept]),
        )  # fmt: skip


def _odd(found: Found, asked: Asked) -> Iterator[Finding]:
    by: dict[str, list[Mapping[str, Any]]] = {}
    for row in found["odd"]:
        by.setdefault(row["why"], []).append(row)
    rows = max(found["sampled"]["rows"] if found["sampled"] else found["sizes"]["rows"], 1)
    if giants := by.get("giant"):
        largest = giants[0]
        bound = int(min(row["value"] for row in giants))
        yield Finding(
            "giants", "look", 400 * len(giants) / rows + 10,
            f"{_count(len(giants), 'row')} {'is' if len(giants) == 1 else 'are'} far longer than the others: up to"
            f" {largest['value']:,.0f} characters, half have at most {largest['usual']:,.0f} ({largest['source']}).",
            "One such row costs as much as all others of its batch, and most of it is cut off.",
            "Look at them; leave them out if they are no rows but files.",
            steps_with(asked, "length", unit="characters", highest=bound - 1),
        )  # fmt: skip
    strange = [*by.get("rare characters", ()), *by.get("unlikely letters", ())]
    if strange:
        sources = list(dict.fromkeys(row["source"] for row in strange))
        yield Finding(
            "strange", "look", 300 * len(sources) / rows + 5,
            f"{_count(len(sources), 'row')} do{'es' if len(sources) == 1 else ''} not read like the others:"
            f" {_named(sources)}.",
            "Broken encodings, markup, other scripts and keyboard noise teach nothing.",
            "Look at them below; leave out what is noise.",
            steps_with(asked, "gibberish"),
        )  # fmt: skip


def _gaps(found: Found, asked: Asked) -> Iterator[Finding]:
    coverage = found["coverage"]
    for gap in coverage["gaps"][:NAMED]:
        where = " with ".join(f"{column} {value!r}" for column, value in gap["where"].items())
        yield Finding(
            f"gap:{where}", "do", gap["expected"],
            f"No row has {where}, where about {gap['expected']:.0f} would be expected.",
            "The model never sees it, and no figure says how it does there.",
            "Collect such rows.",
        )  # fmt: skip
    tested = "rows" if asked.folded else "test"
    thin = sorted((one for one in coverage["values"] if one[tested] < coverage["needed"]), key=lambda one: one[tested])
    if thin:
        said = ", ".join(f"{one['column']} {one['value']} ({one[tested]:,})" for one in thin[:NAMED])
        yield Finding(
            "thin", "know", 50,
            f"{len(thin)} of {_count(len(coverage['values']), 'slice')} ha{'s' if len(thin) == 1 else 've'} too few"
            f" test rows for an interval of ±5 points: {said}{' ...' if len(thin) > NAMED else ''}.",
            "Targets on these slices stay undecided unless the result is far from them.",
            f"It takes {coverage['needed']} test rows in each.",
        )  # fmt: skip


def _groups(found: Found, asked: Asked) -> Iterator[Finding]:
    for group in found["groups"]:
        if group["column"] not in asked.reported or group["different"] > len(group["values"]):
            continue
        small = [one for one in group["values"] if one["share"] < THIN_GROUP]
        if small:
            yield Finding(
                f"group:{group['column']}", "look", 40,
                f"{group['column']}: {_named(one['value'] for one in small)} make"
                f"{'s' if len(small) == 1 else ''} less than {THIN_GROUP:.0%} of the rows each.",
                "A model is worst where it has seen least.",
                "Collect more of them, or see to it that training meets them more often.",
            )  # fmt: skip


def _variety(found: Found, asked: Asked) -> Iterator[Finding]:
    answers, alike = found["variety"]["answers"], found["alikeness"]
    if answers and answers["rows"] >= 50 and answers["share"] >= SAME_ANSWER and answers["different"] > 50:
        yield Finding(
            "same-answer", "look", 200 * answers["share"],
            f"{answers['share']:.0%} of the answers are the same: {answers['commonest'][:80]!r}.",
            "The model learns to say it whatever is asked.",
            "Look whether it is a way out (\"I don't know\"); keep a few.",
        )  # fmt: skip
    if alike is not None and alike >= ALIKE:
        yield Finding(
            "alike", "look", 100 * alike,
            f"Rows are much alike: the mean cosine of two of them is {alike:.2f}.",
            "Many rows then teach what one does.",
            "Look whether a template repeats in all of them; keep it in the prompt, not in the rows.",
        )  # fmt: skip


def _told(found: Found, figure: str) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The steps that told a figure, each with it."""
    for step in found["steps"]:
        value = ((step.get("findings") or {}).get("figures") or {}).get(figure)
        if value:
            yield step.get("settings") or {}, value


def _suspects(found: Found, asked: Asked) -> Iterator[Finding]:
    for settings, errors in _told(found, "label errors"):
        if errors["look_wrong"] and settings.get("action", "report") == "report":
            rate = errors["estimated_rate"]
            yield Finding(
                "suspects", "do" if rate >= WRONG else "look", 1500 * rate + 10,
                f"{errors['look_wrong']:,} of {errors['judged']:,} labels look wrong; {rate:.1%} are estimated to be.",
                "A model learns wrong labels too, and wrong test labels hide what it can do.",
                "Look at them below, the surest first, and put them right in the source; or let them count less.",
                steps_with(asked, "label_errors", action="weigh"),
            )  # fmt: skip


def _private(found: Found, asked: Asked) -> Iterator[Finding]:
    for settings, said in _told(found, "personal data"):
        kinds = {kind: (one["finds"], one["rows"]) for kind, one in said["kinds"].items()}
        yield from _given_away(asked, "pii", "personal data", {**settings, **said}, kinds)
    for settings, said in _told(found, "secrets"):
        secrets = {kind: (finds, finds) for kind, finds in said["kinds"].items()}
        yield from _given_away(asked, "secrets", "keys and passwords", {**settings, **said}, secrets)


def _given_away(
    asked: Asked, step: str, what: str, said: Found, kinds: Mapping[str, tuple[int, int]]
) -> Iterator[Finding]:
    if not kinds:
        return
    ordered = sorted(kinds.items(), key=lambda pair: (-pair[1][0], pair[0]))
    some = ", ".join(f"{kind} {finds:,}" for kind, (finds, _) in ordered[: 2 * NAMED])
    left = said["action"] == "report"
    where = "stand in the rows" if left else f"were found and treated ({said['action']})"
    yield Finding(
        step, "do" if left else "know", 1e4 if left else 60,
        f"{what.capitalize()} {where}: {some}.",
        "A model repeats what it has read, to whoever asks." if left else "No finder finds all of them.",
        "Mask them before training." if left else "Look at a few rows all the same.",
        steps_with(asked, step, action="mask") if left else "",
    )  # fmt: skip


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if part / whole >= 0.001 else "<0.1%"


def _named(names: Any) -> str:
    found: Sequence[str] = list(names)
    return ", ".join(found[:NAMED]) + (f" and {len(found) - NAMED} more" if len(found) > NAMED else "")


RULES: tuple[Rule, ...] = (
    _gates, _leaks, _private, _copies, _labels, _suspects, _sizes, _languages, _odd, _gaps, _groups, _variety,
)  # fmt: skip
"""What is looked for."""
