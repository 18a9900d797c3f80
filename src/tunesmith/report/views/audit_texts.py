"""What texts of an audited data set are like: topics, copies, languages, odd rows; and what steps found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.report.charts import histogram
from tunesmith.report.evidence import Section
from tunesmith.report.format import count, counted, duration, excerpt, figure, percent
from tunesmith.report.views.audit import NOT_TOLD, bar, drawn, lengths_said, shortened

ODD, SHOWN = 12, 10
"""The most odd rows, and the most rows of a step's examples."""
REASONS = {
    "giant": ("far longer than the others", "characters"),
    "rare characters": ("characters that hardly any other row has", "of its characters"),
    "unlikely letters": ("letters in an order that no other row has", "bits a character"),
}
TOLD = 12
"""The most keys of a step's figure that are listed."""


def topics(found: Mapping[str, Any]) -> Section:
    """What the rows are about."""
    made, variety = found["topics"], found["variety"]
    rows = [
        {
            "rows": topic["rows"],
            "share": percent(topic["share"]),
            "words": ", ".join(topic["words"]),
            "label": f"{percent(topic['label']['share'])} are {topic['label']['label']}" if topic["label"] else "",
            "example": shortened(topic["examples"][0]["text"], 140) if topic["examples"] else "",
            "drawing": bar("rows", topic["rows"], made[0]["rows"]),
        }
        for topic in made
    ]
    return Section(
        "topics",
        "What it is about, and how varied it is",
        "Topics",
        {
            "says": _variety_said(found),
            "topics": rows,
            "figures": _variety(found),
            "answers": _answers(variety["answers"]),
        },
    )


def copies(found: Mapping[str, Any]) -> Section:
    """Rows that repeat others."""
    said = found["copies"]
    says = f"No two of {count(said['rows'])} rows are near-copies of each other."
    if said["near"]:
        alike = f"at least {said['similarity']:.0%} of their runs of three words in common"
        says = f"{counted(said['near'], 'row')} of {count(said['rows'])} nearly repeat another ({alike})"
        further = (
            (said["exact"], "word for word"),
            (said["conflicts"], "with another label"),
            (said["crossing"], "across splits"),
        )
        parts = [f"{count(number)} {what}" for number, what in further if number]
        says += f", {', '.join(parts)}." if parts else ", each in the split of its copy."
    return Section("copies", "Copies", "Copies", {"says": says, "clusters": said["examples"]})


def languages(found: Mapping[str, Any]) -> Section:
    """Languages, and how hard English rows are to read."""
    said, read = found["languages"], found["readability"]
    told = {name: rows for name, rows in said["counts"].items() if name != NOT_TOLD}
    untold, total = said["counts"].get(NOT_TOLD, 0), sum(told.values())
    says = f"{counted(len(told), 'language')} in {counted(total, 'row')}."
    if not told:
        says = "The rows are too short to tell their language."
    elif untold:
        says += f" {counted(untold, 'row')} {'is' if untold == 1 else 'are'} too short or mixed to tell."
    several = len(told) > 1
    content: dict[str, Any] = {"says": says, "languages": [], "others": [], "grades": None, "examples": []}
    if several:
        largest = max(told.values())
        content["others"] = said["examples"]
        content["languages"] = [
            (name, rows, percent(rows / total), bar(name, rows, largest)) for name, rows in list(told.items())[:8]
        ]
    if read:
        content["grades"] = histogram.histogram(read["grades"], title=f"school grade: {lengths_said(read['grades'])}")
        middle, mean = read["grades"]["quantiles"]["p50"], read["grades"]["mean"]
        content["grade"] = f"Half of the rows ask for grade {middle:.1f} or less; the mean is {mean:.1f}."
        content["examples"] = [{**row, "grade": f"{row['grade']:.1f}"} for row in read["examples"]]
    return Section("language", "Language and readability", "Language", content)


def odd(found: Mapping[str, Any]) -> Section:
    """Rows unlike the others."""
    rows, by = [], dict.fromkeys(REASONS, 0)
    for row in found["odd"]:
        by[row["why"]] += 1
        if by[row["why"]] > ODD // len(REASONS):
            continue
        why, unit = REASONS[row["why"]]
        value, usual = row["value"], row["usual"]
        said = f"{_rounded(value)} {unit}, usual are {_rounded(usual)}"
        if row["why"] == "rare characters":
            said = f"{percent(value)} {unit}"
        rows.append({**row, "why": why, "said": said})
    total = len({row["row"] for row in found["odd"]})
    says = (
        f"{counted(total, 'row')} {'is' if total == 1 else 'are'} unlike the others: "
        + ", ".join(f"{count(number)} by {REASONS[why][0]}" for why, number in by.items() if number)
        + "."
        if total
        else "No row stands out by its length, its characters or the order of its letters."
    )
    return Section("odd", "Odd rows", "Odd rows", {"says": says, "rows": rows})


def steps(found: Mapping[str, Any]) -> Section | None:
    """What the steps did and found."""
    made = [_step(step) for step in found["steps"]]
    return Section("steps", "What the steps found", "Steps", {"steps": made}) if made else None


def method(found: Mapping[str, Any]) -> Section:
    """How it was measured."""
    words, near = count(found["variety"]["words"]), found["copies"]["similarity"]
    looked = count(found["languages"]["rows"])
    lines = [
        "Topics: k-means over TF-IDF in 50 dimensions. Their words are those whose log-odds are surest to be higher"
        " inside than outside.",
        f"Distinct-n: on {words} words of rows in random order; type-token ratio: on stretches of 1,000 words. Both"
        " fall with more text, so they are taken at a fixed size.",
        "Readability: the Flesch-Kincaid grade, syllables counted by letters. It judges English sentences.",
        f"Languages: py3langid, on {looked} rows, those of at least 40 letters, counted where it is sure by 98%.",
        f"Copies: MinHash on runs of three words, compared exactly, from {near:g} on.",
        f"The seed of everything drawn: {found['seed']}.",
    ]
    if sampled := found["sampled"]:
        some, everything = count(sampled["rows"]), count(sampled["of"])
        lines.insert(
            0,
            f"Rows, words, labels and columns are counted on all {everything} rows; the rest on {some} of them, drawn"
            " by the seed.",
        )
    return Section("method", "How it was measured", "Method", {"lines": lines})


def _variety_said(found: Mapping[str, Any]) -> str:
    made, alike = found["topics"], found["alikeness"]
    said = "Too few rows for topics."
    if made:
        said = f"{counted(len(made), 'topic')}; the largest holds {percent(made[0]['share'])} of the rows."
    if alike is not None:
        means = "much alike" if alike >= 0.3 else "a common theme" if alike >= 0.1 else "little in common"
        said += f" Two rows drawn at random have a cosine of {alike:.3f}: {means}."
    return said


def _variety(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    variety = found["variety"]
    at = f"on {count(variety['words'])} words"
    facts = [(f"Distinct-{n}", figure(value), at) for n, value in variety["distinct"].items()]
    facts.append(("Type-token", figure(variety["type_token"]), "on 1,000 words"))
    facts.append(
        (
            "Vocabulary",
            count(variety["vocabulary"]),
            f"{percent(variety['once'] / max(variety['vocabulary'], 1))} stand once",
        )
    )
    return facts


def _answers(said: Mapping[str, Any] | None) -> str:
    if not said:
        return ""
    common = ""
    if said["share"] > 0.005:
        common = f"; the commonest is {percent(said['share'])} of them: \u201c{shortened(said['commonest'], 100)}\u201d"
    return f"{count(said['different'])} of {counted(said['rows'], 'answer')} are different{common}."


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}"


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    told = step.get("findings") or {}
    done = [f"{count(step[what])} {what}" for what in ("kept", "changed", "dropped", "made") if step.get(what)]
    if step.get("seconds"):
        done.append(duration(step["seconds"]))
    return {
        "name": step["step"],
        "done": ", ".join(done),
        "notes": told.get("notes") or [],
        "drawings": [drawn(one) for one in told.get("distributions") or []],
        "figures": [(name, _plain(value)) for name, value in (told.get("figures") or {}).items()],
        "examples": [
            {
                "title": title,
                "columns": list(rows[0]),
                "rows": [[_plain(row.get(name)) for name in rows[0]] for row in rows[:SHOWN]],
            }
            for title, rows in (told.get("examples") or {}).items()
            if rows
        ],
    }


def _plain(value: Any) -> str:
    """A JSON value as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return figure(value)
    if isinstance(value, int):
        return count(value)
    if isinstance(value, Mapping):
        some = list(value.items())[:TOLD]
        return ", ".join(f"{key}: {_plain(each)}" for key, each in some) + (" …" if len(value) > TOLD else "")
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(each) for each in value[:TOLD]) + (" …" if len(value) > TOLD else "")
    return excerpt(str(value), 200)
