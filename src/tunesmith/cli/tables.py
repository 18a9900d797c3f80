"""What verbs print at a terminal: the ledger, rendered rows, plans, runs, origins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tunesmith.report.format import times_seen

if TYPE_CHECKING:
    from tunesmith.evaluate.review.results import Results
    from tunesmith.flow.data.check import Checked
    from tunesmith.flow.plan import Plan
    from tunesmith.spec.resolve import Resolved

_INK = {"system": "magenta", "user": "blue", "tool": "cyan", "special": "bright_black", "text": "blue"}
"""Colour of masked tokens by role; trained ones are green on whatever role."""


def plain_table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    """A table without lines between rows; the columns in `numbers` are right-aligned."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def print_check(console: Console, checked: Checked) -> None:
    """The ledger, then rendered rows with trained tokens in green."""
    ledger = checked.ledger.to_json()
    _heading(console, "Sources")
    for source in ledger["sources"]:
        console.print(Text(f"{source['path']}  {source['format']}, read {source['read']:,}, kept {source['kept']:,}"))
        console.print(Padding(Text(source["why"], style="dim"), (0, 0, 0, 2)))
    _heading(console, "Rows")
    console.print(_rows_table(ledger))
    _heading(console, "Splits and tokens")
    console.print(_splits_table(ledger))
    if len(ledger["epoch"]) > 1:
        _heading(console, "An epoch")
        console.print(_epoch_table(ledger))
    for split, said in ledger["splits"].items():
        _print_warnings(console, split, said)
    if checked.sample:
        _heading(console, "As the model sees it  (green: trained; other colours: only read)")
        for row in checked.sample:
            console.print(Text(row["id"], style="bold"))
            console.print(Padding(_rendered(row["tokens"]), (0, 0, 1, 2)))


def print_findings(console: Console, findings: Sequence[dict[str, Any]]) -> None:
    """What an audit found, with the lines that mend it."""
    signs = {"do": ("\N{BALLOT X}", "red"), "look": ("!", "yellow"), "know": ("\N{MIDDLE DOT}", "dim")}
    for found in findings:
        sign, style = signs[found["level"]]
        console.print(Text.assemble((f"{sign} ", style), found["said"]))
        console.print(Padding(Text(found["fix"], style="dim"), (0, 0, 0, 2)))
        if found["yaml"]:
            console.print(Padding(Text(found["yaml"], style="cyan"), (0, 0, 0, 4)))
    if not any(found["level"] != "know" for found in findings):
        console.print("Nothing was found that has to be mended.")


def _rows_table(ledger: dict[str, Any]) -> Table:
    table = plain_table("", "rows", "reason", "for example", numbers=["rows"])
    rows = ledger["rows"]
    table.add_row("read", f"{rows['read']:,}", "", "")
    for gone in ledger["dropped"]:
        table.add_row("  dropped", f"{gone['count']:,}", Text(f"{gone['step']}: {gone['reason']}"), _some(gone))
    for change in ledger["changed"]:
        table.add_row("  changed", f"{change['count']:,}", Text(f"{change['step']}: {change['reason']}"), _some(change))
    for made in ledger["made"]:
        table.add_row("  made", f"{made['count']:,}", Text(f"{made['step']}: {made['reason']}"), _some(made))
    table.add_row("kept", f"{rows['kept']:,}", "", "", style="bold")
    return table


def _some(counted: dict[str, Any]) -> Text:
    return Text(", ".join(counted["rows"][:2]), style="dim")


def _splits_table(ledger: dict[str, Any]) -> Table:
    names = ["split", "rows", "tokens", "trained", "share", "longest", "p95", "cut rows", "stop trained"]
    table = plain_table(*names, numbers=names[1:])
    for split, said in ledger["splits"].items():
        tokens = sum(role["total"] for role in said["tokens"].values())
        trained = sum(role["trained"] for role in said["tokens"].values())
        stop = said["stop"]
        table.add_row(
            split,
            f"{said['rows']:,}",
            f"{tokens:,}",
            f"{trained:,}" if trained else "labels",
            f"{trained / tokens:.0%}" if trained and tokens else "",
            f"{said['lengths'].get('max', 0):,}",  # a split without rows has none
            f"{said['lengths'].get('p95', 0):,}",
            f"{said['truncated']['rows']:,}",
            f"{stop['trained']:,} of {stop['answers']:,}" if stop.get("answers") else "no answers",
        )
    return table


def _epoch_table(ledger: dict[str, Any]) -> Table:
    names = ["source", "rows", "drawn", "share", "each is seen", "not seen"]
    table = plain_table(*names, numbers=names[1:4])
    whole = sum(source["drawn"] for source in ledger["epoch"])
    for source in ledger["epoch"]:
        share = f"{source['drawn'] / whole:.1%}"
        waiting = f"{source['unseen']:,} wait for a later epoch" if source["unseen"] else ""
        table.add_row(
            source["source"],
            f"{source['rows']:,}",
            f"{source['drawn']:,}",
            share,
            times_seen(source["rows"], source["drawn"]),
            waiting,
        )
    return table


def _print_warnings(console: Console, split: str, said: dict[str, Any]) -> None:
    if said["truncated"]["rows"]:
        cut = said["truncated"]
        console.print(Text(f"! {split}: {cut['rows']:,} rows lose {cut['tokens']:,} tokens", style="yellow"))
    doubled = sum(count for number, count in said["bos"].items() if int(number) > 1)
    if doubled:
        console.print(Text(f"! {split}: {doubled:,} rows begin with more than one BOS", style="yellow"))


def _rendered(tokens: list[dict[str, Any]]) -> Text:
    text = Text()
    for token in tokens:
        text.append(token["text"], style="bold green" if token["trained"] else _INK.get(token["role"], "dim"))
    return text


def print_rows(console: Console, show: str, rows: list[dict[str, Any]], total: int) -> None:
    """Rows that were kept, dropped or changed, with their reasons."""
    for row in rows:
        record = row.get("record") or row["after"]
        title = Text(f"{record['source']}  ", style="bold")
        title.append(
            f"{row['step']}: {row['reason']}" if "reason" in row else row["split"],
            style="yellow" if show == "dropped" else "cyan",
        )
        console.print(title)
        if show == "changed":
            console.print(Padding(Text("- " + _content(row["before"]), style="red"), (0, 0, 0, 2)))
            console.print(Padding(Text("+ " + _content(row["after"]), style="green"), (0, 0, 0, 2)))
        else:
            console.print(Padding(Text(_content(record)), (0, 0, 0, 2)))
    console.print(Text(f"{len(rows):,} of {total:,} {show} rows", style="dim"))


def _content(record: dict[str, Any]) -> str:
    turns = [f"{turn['role']}: {turn['content']}" for turn in record.get("messages", ())]
    said = "\n".join([*turns, *([record["text"]] if record.get("text") else [])]) or "(empty)"
    labels = ", ".join(record.get("labels", ()))
    return said[:600] + (f"  -> {labels}" if labels else "")


def plan_table(plan: Plan) -> Group:
    """What a run would take."""
    tables = []
    for title, lines in [
        *((f"train-{stage.number}", stage.lines()) for stage in plan.stages),
        ("in all", plan.lines()),
    ]:
        if not lines:
            continue
        table = plain_table(title, "", "")
        for name, value, basis in lines:
            table.add_row(name, Text(value, style="bold"), Text(basis, style="dim"))
        tables.append(Padding(table, (0, 0, 1, 0)))
    return Group(*tables)


def runs_table(rows: list[dict[str, Any]]) -> Table:
    """One line for each run."""
    table = plain_table("run", "state", "decision", "figures on the test rows")
    ink = {"SHIP": "green", "DON'T SHIP": "red"}
    for row in rows:
        figures = "  ".join(
            f"{name} {value:.4g}" for name, value in list(row["figures"].items())[:4] if value is not None
        )
        decision = row["decision"] or ""
        table.add_row(row["run"], row["state"], Text(decision, style=ink.get(decision, "")), figures)
    return table


def studies_table(rows: list[dict[str, Any]]) -> Table:
    """One line for each search."""
    table = plain_table("study", "trials", "best", "settings")
    for row in rows:
        chosen = row["best"]
        params = chosen["params"].items() if chosen and chosen["trial"] else ()
        said = ", ".join(f"{path}={value}" for path, value in params) or ("as the spec is" if chosen else "")
        figure = f"{row['aim']} {chosen['value']:.4g} (trial {chosen['trial']})" if chosen else ""
        table.add_row(row["study"], f"{row['trials']} of {row['wanted']}", figure, Text(said))
    return table


def prompts_table(tried: list[dict[str, Any]]) -> Table:
    """One line for each prompt that was tried; those that were chosen come first."""
    temperatures, systems = (any(row[name] for row in tried) for name in ("temperature", "system"))
    named = ["arm", "prompt", *(["system"] if systems else []), *(["temperature"] if temperatures else [])]
    table = plain_table(*named, tried[0]["metric"], "95% interval", "")
    for row in tried:
        low, high = row["interval"] or (None, None)
        table.add_row(
            row["arm"],
            Text(row["name"]),
            *([Text(row["system"])] if systems else []),
            *([f"{row['temperature']:g}"] if temperatures else []),
            "-" if row["value"] is None else f"{row['value']:.3f}",
            "-" if low is None or high is None else f"{low:.3f} to {high:.3f}",
            Text("chosen" if row["chosen"] else "", style="green"),
        )
    return table


def origins_table(resolved: Resolved) -> Table:
    """Every value of a spec with where it came from."""
    table = plain_table("field", "value", "origin")
    tree = resolved.to_json()["spec"]
    for path, origin in resolved.origins.items():
        table.add_row(path, Text(str(_at(tree, path))), Text(origin, style="dim" if origin == "default" else ""))
    return table


def _at(tree: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(tree, list):
            tree = tree[int(key)]
        elif isinstance(tree, dict):
            tree = tree[key]
    return tree


def _heading(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold underline"))


def review_tables(found: Results) -> list[Table]:
    """Agreement, raters, and arms of a review."""
    columns = ["criterion", "alpha", "95%", "answers", "agree", "differ", "settled"]
    agreement = plain_table(*columns, numbers=("alpha", "answers", "agree"))
    for one in found.criteria:
        alpha = one.alpha
        agreement.add_row(
            one.name,
            _figure(alpha.value),
            _interval((alpha.low, alpha.high)),
            str(alpha.items),
            _figure(one.agreement.value),
            str(one.differing),
            str(one.settled),
        )
    raters = plain_table("rater", "criterion", "ratings", "with others", "severity", numbers=("ratings",))
    for rater in found.raters:
        for row in rater.criteria:
            raters.add_row(
                rater.name, row.criterion, str(row.votes), _figure(row.with_others), _figure(row.severity, "+.2f")
            )
    arms = plain_table("metric", "arm", "value", "95%", "items", numbers=("value", "items"))
    for measure in found.comparison.measures:
        for arm, estimate in measure.arms.items():
            limits = _interval(estimate.interval)
            arms.add_row(measure.name, arm, _figure(estimate.value), limits, str(estimate.num_rows))
    return [agreement, raters, arms]


def _figure(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def _interval(limits: tuple[float | None, float | None] | None) -> str:
    return "" if limits is None or None in limits else f"{_figure(limits[0])} to {_figure(limits[1])}"
