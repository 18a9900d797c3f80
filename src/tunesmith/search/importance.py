"""How much each path of a study mattered."""

from __future__ import annotations

import numpy as np

from tunesmith.search.study import Study

SEEDS = 5
"""Forests that are grown, each from another seed."""
TREES = 32
A_DIMENSION = 4
"""Finished trials a dimension below which importances are noise."""
LEAST = 12
"""Nor are they anything with fewer trials than this."""


def importance(study: Study) -> dict[str, tuple[float, float, float]] | str:
    """Share of the first aim's variation that each path explains alone, by fANOVA (Hutter et al. 2014), and its spread.

    Only trials that were trained to their end count: a pruned one was measured earlier, which is another figure.

    Returns:
        Path -> (mean, lowest, highest over seeds), the most important first; or why the trials tell nothing.
    """
    from tunesmith.search.sampling import told

    varied = [
        dimension for dimension in study.dimensions if len({repr(t.params[dimension.path]) for t in study.done}) > 1
    ]
    known = [t for t in study.done if all(d.holds(t.params[d.path]) for d in study.dimensions)]
    needed = max(LEAST, A_DIMENSION * len(study.dimensions))
    if len(known) < needed:
        return f"{len(known)} trials were trained to their end; what mattered can be told from {needed} on"
    if len({trial.values[0] for trial in known}) == 1:
        return "all trials came to the same figure, so nothing mattered"
    if len(varied) < 2:
        return "one path alone differs between these trials"
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    found: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        said = get_param_importances(
            told(study, known),
            evaluator=FanovaImportanceEvaluator(n_trees=TREES, seed=seed),
            target=lambda t: t.values[0],
        )
        for path, share in said.items():
            found.setdefault(path, []).append(float(share))
    means = {path: (float(np.mean(s)), min(s), max(s)) for path, s in found.items()}
    return dict(sorted(means.items(), key=lambda item: -item[1][0]))
