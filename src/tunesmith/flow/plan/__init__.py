"""What a run would take, and what to choose for it: figures before anything is spent. Nothing is kept.

`plan` says parameters, tokens, steps, memory and time of a spec on this machine; `compare_bases` sets candidates for
its base side by side; `advise` says what measured facts speak for. Each figure carries what it rests on.
"""

from __future__ import annotations

from tunesmith.flow.plan.stage import Plan, StagePlan, plan

__all__ = ["Plan", "StagePlan", "plan"]
