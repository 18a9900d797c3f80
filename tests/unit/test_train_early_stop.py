"""Early stopping."""

from __future__ import annotations

import pytest

from tunesmith.errors import GateFailed
from tunesmith.train.step import Step
from tunesmith.train.watchers import better, gain
from tunesmith.train.watchers.early_stop import EarlyStop


def step(number, validation):
    return Step(
        number=number, total=100, epoch=0.0, loss=1.0, lr=0.1, grad_norm=1.0, rows=1, trained=1, tokens=1, seconds=1.0,
        validation=validation,
    )  # fmt: skip


def run(watcher, figures, name="loss"):
    """The number of the validation it stops at, from 1; None when it never does. Steps without validation between."""
    memory = watcher.start()
    for number, value in enumerate(figures, start=1):
        assert watcher.after(step(2 * number - 1, None), memory) is None
        if watcher.after(step(2 * number, {"loss": 9.0, name: value}), memory):
            return number
    return None


@pytest.mark.parametrize(
    ("settings", "figures", "stops"),
    [
        ({"patience": 2}, [3, 2, 1, 0.5], None),
        ({"patience": 2}, [3, 2, 2, 2], 4),
        ({"patience": 2}, [3, 2, 2.5, 1.9, 2, 2], 6),
        ({"patience": 1}, [1, 1], 2),
        ({"patience": 2, "min_gain": 0.2}, [3, 2.9, 2.7, 2.6, 2.55], 5),
        ({"patience": 2}, [float("nan"), float("nan")], 2),
        ({"patience": 2}, [3, float("nan"), 2, 1], None),
    ],
)
def test_loss(settings, figures, stops):
    assert run(EarlyStop(not_before=0, **settings), figures) == stops


def test_direction_comes_from_the_metric():
    assert run(EarlyStop(metric="accuracy", patience=2, not_before=0), [0.1, 0.2, 0.3, 0.4], "accuracy") is None
    assert run(EarlyStop(metric="accuracy", patience=2, not_before=0), [0.4, 0.3, 0.2], "accuracy") == 3
    assert run(EarlyStop(metric="perplexity", patience=2, not_before=0), [4, 3, 2], "perplexity") is None
    assert (better("loss"), better("accuracy"), better("perplexity")) == ("lower", "higher", "lower")


def test_gain():
    assert gain("loss", 1.0, 3.0) == 2.0 and gain("accuracy", 1.0, 3.0) == -2.0
    assert gain("loss", 1.0, None) == float("inf")
    assert gain("loss", float("nan"), None) == float("-inf")


def test_a_figure_that_is_not_measured_is_refused():
    with pytest.raises(GateFailed, match=r"'accuracy', which is not measured(.|\n)*watch one of: loss"):
        EarlyStop(metric="accuracy").after(step(1, {"loss": 1.0}), {"best": None, "waited": 0})


def test_the_reason_says_what_and_how_long():
    memory = {"best": 0.123456, "waited": 2}
    said = EarlyStop(patience=3, not_before=0).after(step(9, {"loss": 1.0}), memory)
    assert said == "validation loss has not improved on 0.1235 for 3 validations"


def test_nothing_stops_before_its_share_is_done():
    figures = [1.0] * 30
    assert run(EarlyStop(patience=2, not_before=0), figures) == 3
    # Validation n comes after step 2n of 100: from the tenth on waiting counts.
    assert run(EarlyStop(patience=2, not_before=0.2), figures) == 11
    assert run(EarlyStop(patience=2, not_before=1.0), figures) is None
