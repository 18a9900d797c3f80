"""A spec that would run: its rows collected, what it measures checked, and every row made tokens."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.data.encode.example import Example
from tunesmith.data.prepare import Collected
from tunesmith.flow.data.prepare import Job, check_goal, collect_job, encode_job
from tunesmith.flow.evaluation.check import check_measuring
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.spec.sections import Spec


def make_ready(
    request: Request, narrator: Narrator, variants: Sequence[Spec] = ()
) -> tuple[Job, Collected, Sequence[Example]]:
    """Does everything a run does before it has a folder.

    Args:
        request: what is asked for.
        narrator: told what happens.
        variants: other specs for the same rows, whose columns are kept too.

    Returns:
        The job, what was found of its rows, and the examples of its training split.

    Raises:
        UserError: what would keep the run from starting.
    """
    job, collected = collect_job(request, narrator, variants)
    check_goal(job, request, collected.survey)
    check_measuring(job, request)
    job, examples = encode_job(job, collected, narrator)
    return job, collected, examples
