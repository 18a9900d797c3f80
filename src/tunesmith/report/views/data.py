"""The ledger: every row and every token accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunesmith.report.charts import bars
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import count, counted, excerpt, percent, times_seen

SPLITS = ("train", "validation", "test", "replay")
LABELS = 30
"""The most labels drawn one by one."""
SAMPLES = 4
TOKENS = 700
"""The most tokens of one rendered row."""


def view(evidence: Evidence) -> Section:
    """The chapter on the data."""
    ledger = evidence.ledger
    if not ledger:
        return Section("data", "Data", "Data", missing="This run has no ledger: its data was not prepared.")
    splits = [(name, ledger["splits"][name]) for name in SPLITS if name in ledger["splits"]]
    return Section(
        "data",
        "Data, row by row and token by token",
        "Data",
        {
            "says": _says(ledger, splits),
            "checks": _checks(ledger, splits),
            "funnel": _funnel(ledger),
            "sources": [_source(source) for source in ledger["sources"]],
            "splits": [_split(name, said) for name, said in splits],
            "epoch": _epoch(ledger.get("epoch") or []),
            "roles": _roles(dict(splits).get("train", {})),
            "labels": _labels(dict(splits).get("train", {})),
            "sample": [_sampled(row) for row in evidence.sample[:SAMPLES]],
            "notes": ledger.get("notes") or [],
        },
    )


def tokens_of(split: dict[str, Any]) -> tuple[int, int]:
    """(tokens, trained tokens) of a split; zeros before it was encoded."""
    roles = (split.get("tokens") or {}).values()
    return sum(role["total"] for role in roles), sum(role["trained"] for role in roles)


def _says(ledger: dict[str, Any], splits: Sequence[tuple[str, dict[str, Any]]]) -> str:
    rows = ledger["rows"]
    said = f"{counted(rows['read'], 'row')} read, {count(rows['dropped'])} dropped, {count(rows['kept'])} kept"
    said += ": " + ", ".join(f"{count(split['rows'])} for {name}" for name, split in splits) + "."
    total, trained = tokens_of(dict(splits).get("train", {}))
    if trained:
        of = counted(total, "training token")
        said += f" The loss counts {count(trained)} of the {of} ({percent(trained / total)})."
    return said


def _checks(ledger: dict[str, Any], splits: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    """(met | missed | undecided, sentence) for each promise the data keeps or does not."""
    rows, train = ledger["rows"], dict(splits).get("train", {})
    made = rows.get("made", 0)
    whole = rows["read"] + made == rows["kept"] + rows["dropped"]
    said = f"{count(rows['read'])} read, {count(rows['kept'])} kept, {count(rows['dropped'])} dropped"
    said += f", {count(made)} made of them" if made else ""
    checks = [
        ("met", f"Every row is accounted for: {said}.") if whole else ("missed", f"Rows are not accounted for: {said}.")
    ]
    stop = train.get("stop") or {}
    if stop.get("answers"):
        outcome = "met" if stop["trained"] == stop["answers"] else "undecided" if stop["trained"] else "missed"
        of = counted(stop["answers"], "answer")
        checks.append((outcome, f"The stop token is trained in {count(stop['trained'])} of {of}."))
    if bos := train.get("bos"):
        doubled = sum(number for times, number in bos.items() if int(times) > 1)
        checks.append(
            ("missed", f"{counted(doubled, 'row')} begin with a doubled BOS token.")
            if doubled
            else ("met", "No row begins with a doubled BOS token.")
        )
    if cut := train.get("truncated"):
        lost = f"{counted(cut['rows'], 'training row')} lost {counted(cut['tokens'], 'token')} to the length limit."
        checks.append(("undecided", lost) if cut["rows"] else ("met", "No training row was cut to the length limit."))
    copies = ledger["duplicates"]
    dropped = counted(copies["same"] + copies["conflicts"], "exact copy", "exact copies")
    if copies["conflicts"]:
        said = f"{dropped} dropped, {count(copies['conflicts'])} of them with another label than the first."
        checks.append(("undecided", said))
    else:
        checks.append(("met", f"{dropped} dropped."))
    return checks


def _funnel(ledger: dict[str, Any]) -> list[dict[str, Any]]:
    read = ledger["rows"]["read"]

    def line(kind: str, what: str, number: int, color: str, examples: Sequence[str] = ()) -> dict[str, Any]:
        drawing = bars.bar([bars.Part(what, number, color)], whole=read, title=f"{what}: {count(number)}")
        return {"kind": kind, "what": what, "count": number, "examples": list(examples)[:3], "drawing": drawing}

    return [
        line("read", "", read, "b"),
        *(line("dropped", f"{d['step']}: {d['reason']}", d["count"], "lost", d["rows"]) for d in ledger["dropped"]),
        *(line("made", f"{m['step']}: {m['reason']}", m["count"], "a", m["rows"]) for m in ledger.get("made", [])),
        line("kept", "", ledger["rows"]["kept"], "a"),
        *(line("changed", f"{c['step']}: {c['reason']}", c["count"], "pale", c["rows"]) for c in ledger["changed"]),
    ]


def _source(source: dict[str, Any]) -> dict[str, Any]:
    mapped = ", ".join(f"{column} as {role}" for role, column in (source.get("columns") or {}).items())
    return {**source, "mapped": mapped}


def _split(name: str, said: dict[str, Any]) -> dict[str, Any]:
    total, trained = tokens_of(said)
    encoded = bool(said.get("tokens"))
    lengths, cut = said.get("lengths") or {}, said.get("truncated") or {}
    return {
        "name": name,
        "rows": said["rows"],
        "tokens": total if encoded else None,
        "trained": percent(trained / total) if trained and total else "",
        "p50": lengths.get("p50"),
        "p95": lengths.get("p95"),
        "max": lengths.get("max"),
        "cut": cut.get("rows"),
    }


def _epoch(sources: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an epoch holds of each source, where there are several."""
    whole = sum(source["drawn"] for source in sources)
    return [
        {**source, "share": percent(source["drawn"] / whole), "seen": times_seen(source["rows"], source["drawn"])}
        for source in (sources if len(sources) > 1 else ())
    ]


def _roles(train: dict[str, Any]) -> list[dict[str, Any]]:
    roles = {role: said for role, said in (train.get("tokens") or {}).items() if said["total"]}
    whole = max((said["total"] for said in roles.values()), default=0)
    return [
        {
            "role": role,
            "total": said["total"],
            "trained": said["trained"],
            "drawing": bars.bar(
                [
                    bars.Part("trained", said["trained"], "a"),
                    bars.Part("masked", said["total"] - said["trained"], "pale"),
                ],
                whole=whole,
                title=f"{role}: {count(said['trained'])} of {count(said['total'])} trained",
            ),
        }
        for role, said in roles.items()
    ]


def _labels(train: dict[str, Any]) -> dict[str, Any] | None:
    ordered = sorted((train.get("labels") or {}).items(), key=lambda pair: (-pair[1], pair[0]))
    if len(ordered) < 2:
        return None
    (most, largest), (least, smallest) = ordered[0], ordered[-1]
    shown = ordered if len(ordered) <= LABELS else []
    span = f"from {count(largest)} rows of {most} to {count(smallest)} of {least}"
    return {
        "says": f"{counted(len(ordered), 'label')}: {span}.",
        "rows": [
            (label, number, bars.bar([bars.Part(label, number, "a")], whole=largest, title=f"{label}: {count(number)}"))
            for label, number in shown
        ],
    }


def _sampled(row: dict[str, Any]) -> dict[str, Any]:
    tokens = row["tokens"]
    return {
        "id": excerpt(row["id"], 120),
        "tokens": [_token(token) for token in tokens[:TOKENS]],
        "left_out": max(0, len(tokens) - TOKENS),
    }


def _token(token: dict[str, Any]) -> dict[str, str]:
    trained, role = bool(token.get("trained")), str(token.get("role", ""))
    return {
        "text": str(token.get("text", "")),
        "css": " ".join(["trained"] * trained + ["special"] * (role == "special")),
        "title": f"{role}, {'trained' if trained else 'masked'}",
    }
