"""What is found before a training reaches it as if it had been written, and nothing else of the looking does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.desk import make_desk
from tests.unit.test_report_page import Page
from tunesmith.errors import NonFinite, SpecError
from tunesmith.events import read_events
from tunesmith.flow.run import run
from tunesmith.flow.training import find
from tunesmith.report.card import card
from tunesmith.report.render import render
from tunesmith.runs import Run, file_digest, read_json
from tunesmith.train.find import rate
from tunesmith.train.find.noise import Noise
from tunesmith.train.find.rate import FoundRate

STEPS = 24


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A spec that leaves the learning rate and the rows at once to be found."""
    spec = make_desk(tmp_path, duration=f"{STEPS} steps")
    text = spec.read_text().replace("optimizer: {kind: adamw, lr: 3e-3}", "watch: []")
    spec.write_text(text.replace("batch: 16 rows", "batch: 8 rows"))
    return spec


def trained(spec: Path, *changes: str, **also: Any) -> Run:
    return run(spec, list(changes), spec.parent, until="train", **also).run


def weights(of: Run) -> list[str]:
    files = sorted((of / "model").glob("*.safetensors"))
    assert files
    return [file_digest(file) for file in files]


@pytest.fixture
def generous(monkeypatch: pytest.MonkeyPatch) -> None:
    """So short a training has no twentieth to look with."""
    monkeypatch.setattr(find, "SHARE", 0.9)
    monkeypatch.setattr(find, "FEWEST", 3)


def test_a_found_rate_trains_like_a_written_one_bit_for_bit(
    desk: Path, generous: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decided(probes: list[rate.Probe], derived: float, steps: int) -> FoundRate:
        assert [probe.lr for probe in probes] == [derived * factor for factor in rate.FACTORS]
        assert all(len(probe.losses) == steps for probe in probes)
        assert len({probe.losses[0] for probe in probes}) == 1  # all begin with the same weights and rows
        assert len({probe.held for probe in probes}) == len(probes) and len({len(probe.held) for probe in probes}) == 1
        return FoundRate(2e-3, True, "for the test")

    monkeypatch.setattr(find, "decide", decided)
    looked = trained(desk, "find=[lr]")
    found = read_json(looked / "find" / "1" / "found.json")
    assert 0 < found["spent"] <= found["allowed"] == int(found["planned"] * 0.9)
    written = trained(desk, "train.optimizer.lr=2e-3")
    assert weights(looked) == weights(written) != weights(trained(desk))
    assert {event["lr"] for event in read_events(looked / "events.jsonl", "step")} == {
        event["lr"] for event in read_events(written / "events.jsonl", "step")
    }
    page = Page(render(looked))
    assert "lr: found 0.002: for the test" in page.text and "Looking took" in page.text
    assert any("Loss after" in str(picture.get("aria-label")) for picture in page.all("svg"))
    assert "0.002" in card(looked)


def test_looking_that_was_killed_goes_on_with_what_is_missing(
    desk: Path, generous: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, tried = find._Look.train, []

    def train(look: Any, lr: float, steps: int) -> Any:
        if len(tried) == 3:
            raise KeyboardInterrupt
        tried.append(lr)
        return whole(look, lr, steps)

    monkeypatch.setattr(find._Look, "train", train)
    with pytest.raises(KeyboardInterrupt):
        trained(desk, "find=[lr]")
    monkeypatch.setattr(find._Look, "train", lambda look, lr, steps: tried.append(lr) or whole(look, lr, steps))
    trained(desk, "find=[lr]")
    assert len(tried) == len(set(tried)) == len(rate.FACTORS)
    monkeypatch.setattr(find._Look, "train", None)
    trained(desk, "find=[lr]")  # all is done


def test_what_is_at_once_is_measured_and_told(desk: Path, generous: None) -> None:
    looked = trained(desk, "find=[batch]")
    found = read_json(looked / "find" / "1" / "found.json")
    assert [each["size"] for each in found["batch"]["tried"]] == [1, 2, 4, 8] and found["spent"] <= found["allowed"]
    assert found["batch"]["micro_batch"] in ("1 row", "2 rows", "4 rows", "8 rows") and not found["rate"]
    noise = found["batch"]["noise"]
    assert noise["rows"] is None or noise["low"] < noise["rows"] < noise["high"]
    text = Page(render(looked)).text
    assert found["batch"]["says"] in text and "Speed by how much is computed at once" in text


def test_a_twentieth_is_enough_or_the_derived_value_stays(desk: Path) -> None:
    looked = trained(desk, "find=[lr, batch]")
    found = read_json(looked / "find" / "1" / "found.json")
    assert find.SHARE == 0.05 and found["spent"] <= found["planned"] * 0.05
    assert not found["rate"]["changed"] and "fewer than 10 tell nothing" in found["rate"]["says"]
    assert found["batch"]["micro_batch"] is None and "too little to time sizes" in found["batch"]["says"]
    assert weights(looked) == weights(trained(desk))
    timed = read_json(trained(desk, "find=[lr]", "train.duration=1 s") / "find" / "1" / "found.json")
    assert timed["spent"] == 0 and "its duration is a time" in timed["rate"]["says"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.optimizer.lr=1e-3", "train.optimizer.lr is written; leave it out to have it found"),
        ("train.regularize.private.epsilon=8", "not counted in a private training"),
    ],
)
def test_what_is_written_is_not_looked_for(desk: Path, change: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        trained(desk, "find=[lr]", change)


def test_a_training_that_diverges_is_out(desk: Path, generous: None) -> None:
    with pytest.raises(NonFinite):
        trained(desk, "find=[lr]", "train.optimizer.clip=null", "train.optimizer.head=1e30")
    found = read_json(desk.parent / "runs" / "colours" / "1" / "find" / "1" / "found.json")
    assert "every rate tried diverged" in found["rate"]["says"] and not found["rate"]["changed"]
    assert found["spent"] <= found["allowed"]


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (Noise(40.0, 20.0, 80.0), "noise scale is 40 rows (20 to 80): more than the 8 rows a step would be worth it"),
        (Noise(2.0, 1.0, 4.0), "fewer than the 8 rows a step would do so early"),
        (Noise(9.0, 4.0, 20.0), "8 rows a step are about as many as are worth it"),
        (Noise(None, None, None), "the gradient of 64 rows cannot be told from its noise"),
    ],
)
def test_the_noise_scale_is_put_in_words(noise: Noise, said: str) -> None:
    assert said in find._worth(noise, 5, 8, 64)
