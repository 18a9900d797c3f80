"""What the run took: time by stage, speed, memory, arithmetic."""

from __future__ import annotations

from typing import Any

from tunesmith.report.charts import bars
from tunesmith.report.evidence import Evidence, Section, number
from tunesmith.report.format import count, duration, memory, percent, short
from tunesmith.scale.spending import spent

CORE_WATTS, MEMORY_WATTS = 12.0, 0.3725
"""What a busy core takes where its kind is not known, and a gigabyte of memory."""


def view(evidence: Evidence) -> Section:
    """The chapter on cost."""
    stages = stage_times(evidence)
    known = facts(evidence)
    if not stages and not known:
        return Section("cost", "Cost", "Cost", missing="No stage was timed in this run.")
    total = sum(stage["seconds"] or 0.0 for stage in stages)
    longest = max(stages, key=lambda stage: stage["seconds"] or 0.0, default=None)
    for stage in stages:
        share = (stage["seconds"] or 0.0) / total if total else 0.0
        stage["share"] = percent(share, 0)
        stage["chart"] = bars.bar(
            [bars.Part(stage["name"], stage["seconds"] or 0.0, "a")], whole=total, title=f"{percent(share)} of the time"
        )
    says = ""
    if longest and total:
        says = f"{duration(total)} in all; {percent((longest['seconds'] or 0.0) / total, 0)} of it {longest['name']}."
    return Section("cost", "Cost", "Cost", {"says": says, "stages": stages, "facts": known})


def stage_times(evidence: Evidence) -> list[dict[str, Any]]:
    """Each stage in order with its last word: seconds when it was done here, else how it was had.

    A resumed stage ends more than once or starts without an end; the times of its ends add up.
    """
    stages: dict[str, dict[str, Any]] = {}
    for event in evidence.events_of("stage"):
        if event["stage"] == "report":
            continue  # it is being written
        stage = stages.setdefault(event["stage"], {"name": event["stage"], "status": "", "seconds": None})
        stage["status"] = event.get("status", "")
        if event.get("seconds") is not None:
            stage["seconds"] = (stage["seconds"] or 0.0) + number(event["seconds"])
    return list(stages.values())


def peak_memory_mb(evidence: Evidence) -> float | None:
    """The most memory the process held, as far as it was looked at."""
    told = [number(event["peak_rss_mb"]) for event in evidence.events_of("resource") if "peak_rss_mb" in event]
    return max(told, default=None)


def training_totals(evidence: Evidence) -> tuple[int, float, int]:
    """(tokens read, seconds, steps) of all training stages; each step's event counts from its stage's start."""
    last = {event.get("stage", "train"): event for event in evidence.events_of("step")}
    return (
        sum(int(event.get("tokens_seen") or 0) for event in last.values()),
        sum(number(event.get("seconds") or 0.0) for event in last.values()),
        sum(int(event["step"]) for event in last.values()),
    )


def trained_parameters(evidence: Evidence) -> int | None:
    """How many weights the last training stage moved."""
    said = [result for result in (evidence.lineage.get("stages") or {}).values() if isinstance(result, dict)]
    counts = [int(result["trained_parameters"]) for result in said if result.get("trained_parameters")]
    return counts[-1] if counts else None


def flops(evidence: Evidence) -> float | None:
    """About how many floating-point operations the training took.

    For each token 2 a weight forward, 2 a weight to carry the gradient back, and 2 for each weight that is
    trained (Kaplan et al. 2020, arXiv 2001.08361, section 2.1).
    """
    total = (evidence.lineage.get("base") or {}).get("num_parameters")
    trained = trained_parameters(evidence)
    tokens = training_totals(evidence)[0]
    return tokens * (4.0 * total + 2.0 * trained) if total and trained and tokens else None


def kwh(evidence: Evidence) -> float | None:
    """About how much energy the run took, in kWh: of cores that were busy, memory held and GPUs at their rated power.

    After Green Algorithms (Lannelongue et al. 2021, doi 10.1002/advs.202100707), without a data centre's overhead.
    """
    told = [event for event in evidence.events_of("resource") if "cpu_seconds" in event]
    joules = [
        number(event["cpu_seconds"]) * CORE_WATTS
        + number(event["seconds"])
        * (number(event["peak_rss_mb"]) / 1000 * MEMORY_WATTS + number(event.get("gpu_watts") or 0.0))
        for event in told
    ]
    return sum(joules) / 3.6e6 if told else None


def _energy(evidence: Evidence) -> str:
    used = kwh(evidence)
    if used is None:
        return ""
    device = evidence.environment.get("device")
    if device in (None, "cpu"):
        gpu = ""
    elif any(event.get("gpu_watts") for event in evidence.events_of("resource")):
        gpu = ", GPUs at their rated power"
    else:
        gpu = ", the GPU left out: its power is not known"
    said = f"{used * 1000:.2g} Wh" if used < 1 else f"{used:.3g} kWh"
    return f"about {said} ({CORE_WATTS:g} W a busy core, {MEMORY_WATTS:g} W a GB of memory{gpu})"


def _share_of_base(evidence: Evidence) -> str:
    """How the run's arithmetic compares with what went into its base: 6 operations a weight and token there."""
    spent, size = flops(evidence), (evidence.lineage.get("base") or {}).get("num_parameters")
    tokens = (evidence.spec.get("card") or {}).get("base_tokens")
    if spent is None or not size:
        return ""
    if not tokens:
        return "not known, for how many tokens the base was pre-trained on is not said (card.base_tokens)"
    return f"{percent(spent / (6.0 * size * tokens), 4)} (the base: {short(6.0 * size * tokens)} FLOPs)"


def money(evidence: Evidence) -> list[tuple[str, str]]:
    """What the run's sittings cost, where an hour has a price, and of which machine it is."""
    sittings = evidence.events_of("sitting")
    took = spent(evidence.events)
    if took.usd is None:
        return []
    prices = sorted({number(event["usd_an_hour"]) for event in sittings if event.get("usd_an_hour") is not None})
    machines = dict.fromkeys(str(event["instance"]) for event in sittings if event.get("instance"))
    basis = " and ".join(f"{price:g} USD/h" for price in prices)
    on = f", {' and '.join(machines)}" if machines else ""
    return [("Cost", f"about {took.usd:,.2f} USD: {duration(took.seconds)} at {basis}{on}")]


def facts(evidence: Evidence) -> list[tuple[str, str]]:
    """(name, figure) of speed, memory and machine, as far as known."""
    tokens, seconds, steps = training_totals(evidence)
    found = []
    if tokens:
        found.append(("Tokens read in training", count(tokens)))
    if tokens and seconds:
        found.append(("Speed", f"{short(tokens / seconds)} tokens/s"))
    if steps and seconds:
        found.append(("Time a step", duration(seconds / steps)))
    if (peak := peak_memory_mb(evidence)) is not None:
        found.append(("Peak memory", memory(peak)))
    if (operations := flops(evidence)) is not None:
        found.append(("Arithmetic", f"about {short(operations)} FLOPs in training"))
    found += money(evidence)
    said = {"Share of the base's compute": _share_of_base(evidence), "Energy": _energy(evidence)}
    found += [(name, value) for name, value in said.items() if value]
    if evidence.environment.get("cpu"):
        threads = evidence.environment.get("threads")
        found.append(("Processor", f"{evidence.environment['cpu']}{f', {threads} threads' if threads else ''}"))
    device = evidence.environment.get("device")
    if device and device != "cpu":
        found.append(("Device", str(device)))
    return found
