"""What all tests share: one thread, no network, and property tests that draw the same cases every time."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from hypothesis import Phase, settings

# Where a seeded bug is to be noticed, nobody reads the smallest case that shows it; finding that takes minutes.
phases = [Phase.explicit, Phase.generate, *([] if "SEEDED_BUG" in os.environ else [Phase.shrink])]
settings.register_profile("tests", deadline=None, derandomize=True, database=None, phases=phases)
settings.load_profile("tests")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The kill rate of the seeded bugs (tests/mutants), and those that no test noticed."""
    stats = terminalreporter.stats
    killed, alive = (
        [report.nodeid.partition("[")[2][:-1] for name in names for report in stats.get(name, []) if _seeded(report)]
        for names in (["passed"], ["failed", "error"])
    )
    if count := len(killed) + len(alive):
        for name in alive:
            terminalreporter.write_line(f"survived: {name}")
        terminalreporter.write_line(f"mutants: killed {len(killed)} of {count}: {100 * len(killed) / count:.4g}%")


def _seeded(report: Any) -> bool:
    return "::test_seeded_bug_is_noticed[" in report.nodeid
