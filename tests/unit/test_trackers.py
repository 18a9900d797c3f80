"""Runs sent to trackers and read back with the trackers' own readers: every figure as `events.jsonl` has it."""

from __future__ import annotations

import json
import struct
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.report_fixture import full_run

from tunesmith.errors import MissingDependency, NotFound, RunError, UserError
from tunesmith.events import Events, read_events
from tunesmith.flow.look import send_run
from tunesmith.part import TRACKERS
from tunesmith.runs import Run, read_json
from tunesmith.trackers import Told, Tracker, send
from tunesmith.trackers._follow import follow
from tunesmith.trackers._told import FIGURES

Points = dict[str, dict[int, float]]
"""Name -> step -> value."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return full_run(tmp_path)


def tracker(kind: str, **settings: Any) -> Tracker:
    pytest.importorskip(kind, reason=f"pip install 'tunesmith[{kind}]' brings {kind}")
    made = TRACKERS.make({"kind": kind, **settings})
    assert isinstance(made, Tracker)
    return made


def told(run: Run) -> Points:
    """What the diary says, read in the plainest way."""
    points: Points = {}
    for event in read_events(run / "events.jsonl", "step", "validation"):
        if event["kind"] == "step":
            values = {name: event[name] for name in FIGURES if name in event} | event.get("metrics", {})
        else:
            values = {f"validation/{name}": value for name, value in event["figures"].items()}
        for name, value in values.items():
            points.setdefault(f"{event['stage']}/{name}", {})[event["step"]] = float(value)
    return points


def finals(run: Run) -> dict[str, float]:
    found = {}
    for measure in read_json(run / "evaluation/comparison.json")["measures"]:
        over = {f"over {arm}": difference for arm, difference in measure["differences"].items()}
        for arm, estimate in {**measure["arms"], **over}.items():
            found[f"test/{measure['name']}/{arm}"] = estimate["value"]
            for end, bound in zip(("low", "high"), estimate["interval"] or (), strict=False):
                found[f"test/{measure['name']}/{arm}/{end}"] = bound
    return {name: value for name, value in found.items() if value is not None}


def go_on(run: Run, first: int, last: int) -> None:
    """The run is resumed at step `first`, with another speed, and goes on to `last`."""
    with Events(run / "events.jsonl") as events:
        for step in range(first, last + 1):
            events.send("step", stage="train-1", step=step, loss=1 / step, lr=0.1, tokens_per_second=step, metrics={})
        events.send("validation", stage="train-1", step=last, figures={"loss": 0.5}, best=False)


# TensorBoard


def read_tensorboard(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return read


def scalars(read: Any) -> dict[str, list[tuple[int, float]]]:
    return {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_reads_every_figure_back(run: Run, tmp_path: Path) -> None:
    board = tracker("tensorboard")
    where, rows = send(run, board)
    assert Path(where) == tmp_path / "tracked/tensorboard/support-triage/4" and rows == 310
    read = read_tensorboard(Path(where))
    expected = {name: {step: np.float32(value) for step, value in steps.items()} for name, steps in told(run).items()}
    expected |= {name: {0: np.float32(value)} for name, value in finals(run).items()}
    assert "train-1/loss" in expected and "test/accuracy/tuned/low" in expected
    assert {tag: dict(points) for tag, points in scalars(read).items()} == expected
    assert read.Scalars("train-1/loss")[6].wall_time == read_events(run / "events.jsonl", "step")[6]["at"]
    spec = read.Tensors("spec/text_summary" if "spec/text_summary" in read.Tags()["tensors"] else "spec")
    assert b"train.0.optimizer.lr | 0.0002" in spec[0].tensor_proto.string_val[0]
    [tags] = read.Tensors("run")
    verdict = read_json(run / "evaluation/verdict.json")["decision"].encode()
    assert b"| verdict | " + verdict in tags.tensor_proto.string_val[0]
    assert read_json(run / "lineage.json")["model_digest"].encode() in tags.tensor_proto.string_val[0]


def test_tensorboard_holds_each_point_once_however_often_it_is_sent(run: Run) -> None:
    board = tracker("tensorboard")
    where = Path(send(run, board)[0])
    [file] = where.iterdir()
    before = file.read_bytes()
    send(run, board)
    assert [file] == list(where.iterdir()) and file.read_bytes() == before
    go_on(run, 290, 320)
    send(run, board)
    found = scalars(read_tensorboard(where))
    assert Counter(step for step, _ in found["train-1/loss"]) == Counter(range(1, 321))
    assert dict(found["train-1/tokens_per_second"]) == {step: float(step) for step in range(290, 321)}
    assert list(where.iterdir()) == [file]


def test_tensorboard_grows_while_it_is_followed_and_takes_the_last_word(run: Run) -> None:
    board = tracker("tensorboard")
    looks = iter([lambda: None, lambda: go_on(run, 295, 305), lambda: go_on(run, 301, 303)])
    left = [3]

    def ended() -> bool:
        next(looks)()
        left[0] -= 1
        return not left[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        follow(run, board, ended)
    found = scalars(read_tensorboard(board.place(run) / "tensorboard/support-triage/4"))
    expected = {name: {s: np.float32(v) for s, v in steps.items()} for name, steps in told(run).items()}
    assert {tag: dict(points) for tag, points in found.items() if not tag.startswith("test/")} == expected
    assert Counter(step for step, _ in found["train-1/loss"]) == Counter(range(1, 306))


# Weights & Biases


def wandb_records(folder: Path) -> Iterator[Any]:
    """The records of all offline copies, by the format's own page: blocks of 32 KiB, each record with its checksum."""
    from wandb.proto.wandb_internal_pb2 import Record

    for path in sorted(folder.glob("offline-run-*/*.wandb")):
        content, parts = path.read_bytes(), b""
        assert content[:4] == b":W&B"
        for start in range(0, len(content), 32_768):
            block, place = content[start : start + 32_768], 7 if start == 0 else 0
            while place + 7 <= len(block):
                _, length, sort = struct.unpack("<IHB", block[place : place + 7])
                parts += block[place + 7 : place + 7 + length]
                place += 7 + length
                if place > len(block):  # torn
                    break
                if sort in (1, 4):
                    yield Record.FromString(parts)
                    parts = b""


def wandb_points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for record in wandb_records(folder):
        values = {(item.key or "/".join(item.nested_key)): item.value_json for item in record.history.item}
        for name, text in values.items():
            stage = name.partition("/")[0]
            if "/" in name and name != f"{stage}/step":
                found.setdefault(name, []).append((json.loads(values[f"{stage}/step"]), json.loads(text)))
    return found


def test_wandb_keeps_every_figure_once(run: Run, tmp_path: Path) -> None:
    offline = tracker("wandb")
    folder = tmp_path / "tracked/wandb"
    where, _ = send(run, offline)
    assert Path(where) == folder
    assert {name: dict(points) for name, points in wandb_points(folder).items()} == told(run)
    copies = sorted(folder.glob("offline-run-*"))
    send(run, offline)
    assert sorted(folder.glob("offline-run-*")) == copies, "nothing new, nothing written"
    go_on(run, 290, 320)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        follow(run, offline, lambda: True)
    found = wandb_points(folder)
    assert Counter(step for step, _ in found["train-1/loss"]) == Counter(range(1, 321))
    assert dict(found["train-1/loss"])[310] == 1 / 310
    assert len(found["train-1/validation/loss"]) == 11


def test_wandb_knows_spec_verdict_digests_and_test_figures(run: Run, tmp_path: Path) -> None:
    send(run, tracker("wandb", project="routing", folder="else"))
    records = list(wandb_records(tmp_path / "else/wandb"))
    begun = next(record.run for record in records if record.HasField("run"))
    assert begun.project == "routing" and begun.display_name == "support-triage/4"
    config = {
        (item.key or ".".join(item.nested_key)): json.loads(item.value_json)
        for record in records
        for item in record.config.update
    }
    assert config["train.0.optimizer.lr"] == 0.0002 and config["data.max_length"] == "128 tokens"
    assert config["run.model.digest"] == read_json(run / "lineage.json")["model_digest"]
    decision = read_json(run / "evaluation/verdict.json")["decision"]
    assert config["run.verdict"] == decision
    summary = {
        (item.key or ".".join(item.nested_key)): json.loads(item.value_json)
        for record in records
        for item in record.summary.update
    }
    assert {name: summary[name] for name in finals(run)} == finals(run)
    assert any(decision in record.run.tags for record in records)


def test_a_torn_wandb_file_is_read_up_to_the_tear(run: Run, tmp_path: Path) -> None:
    from tunesmith.trackers.wandb import read_copies

    send(run, tracker("wandb"))
    folder = tmp_path / "tracked/wandb"
    [file] = folder.glob("offline-run-*/*.wandb")
    name = Told(run).facts().id
    assert read_copies(folder, name)[0] == 310
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    torn, _ = read_copies(folder, name)
    assert 0 < torn < 310
    send(run, tracker("wandb"))
    found = wandb_points(folder)
    assert Counter(step for step, _ in found["train-1/loss"]) == Counter(range(1, 301))


# MLflow


def mlflow_client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def test_mlflow_keeps_every_figure_once(run: Run, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/m.db"
    local = tracker("mlflow", uri=uri, experiment="routing")
    send(run, local)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = mlflow_client(uri)
        experiment = client.get_experiment_by_name("routing").experiment_id
        [found] = client.search_runs([experiment])

        def history(name: str) -> list[tuple[int, float]]:
            return [(point.step, point.value) for point in client.get_metric_history(found.info.run_id, name)]

        assert {name: dict(history(name)) for name in told(run)} == told(run)
        assert {name: dict(history(name))[0] for name in finals(run)} == finals(run)
        assert set(found.data.metrics) == {*told(run), *finals(run)}
        assert found.data.params["train.0.optimizer.lr"] == "0.0002"
        assert found.data.tags["verdict"] == read_json(run / "evaluation/verdict.json")["decision"]
        assert found.data.tags["model.digest"] == read_json(run / "lineage.json")["model_digest"]
        assert found.info.run_name == "support-triage/4"
        go_on(run, 290, 320)
        send(run, local)
        follow(run, local, lambda: True)
        assert len(client.search_runs([experiment])) == 1
        assert Counter(step for step, _ in history("train-1/loss")) == Counter(range(1, 321))
        assert len(history("test/accuracy/tuned")) == 1


def test_mlflow_names_are_spelt_in_its_letters() -> None:
    from tunesmith.trackers.mlflow import metric_name

    assert metric_name("test/f1(label=spam)/tuned") == "test/f1 label:spam/tuned"
    assert metric_name("train-1/grad_norm") == "train-1/grad_norm"
    assert metric_name("test/f1(label=größe)") == "test/f1 label:gr__e"


# What all have in common


def test_rows_keep_their_numbers_when_a_run_goes_on(run: Run) -> None:
    live = Told(run)
    before = live.rows()
    assert [row.number for row in before] == list(range(310)) and live.rows() == []
    go_on(run, 299, 301)
    again = live.rows()
    assert [(row.step, row.number) for row in again] == [
        (299, before_number(before, 299)),
        (300, before_number(before, 300)),
        (301, 310),
        (301, 311),
    ]
    assert {row.number: row.values for row in Told(run).rows()} == {row.number: row.values for row in [*before, *again]}


def before_number(rows: list[Any], step: int) -> int:
    return next(row.number for row in rows if row.step == step and "train-1/loss" in row.values)


def test_a_line_on_its_way_is_read_when_it_is_whole(tmp_path: Path) -> None:
    run = Run(tmp_path / "runs/a/1")
    run.path.mkdir(parents=True)
    live = Told(run)
    assert live.rows() == []
    line = json.dumps({"at": 1.0, "kind": "step", "stage": "t", "step": 1, "loss": "nan"}).encode()
    (run / "events.jsonl").write_bytes(line[:20])
    assert live.rows() == []
    (run / "events.jsonl").write_bytes(line + b"\n" + b'{"kind": "st\n[1]\n')
    [row] = live.rows()
    assert np.isnan(row.values["t/loss"]) and live.rows() == []


def test_runs_are_told_apart_wherever_they_stand(run: Run, tmp_path: Path) -> None:
    import shutil

    copy = Run(tmp_path / "elsewhere/runs/support-triage/4")
    shutil.copytree(run.path, copy.path)
    other = Run(run.path.parent / "5")
    shutil.copytree(run.path, other.path)
    assert Told(copy).facts().id == Told(run).facts().id != Told(other).facts().id


@pytest.mark.parametrize("kind", ["tensorboard", "wandb", "mlflow"])
def test_a_package_that_is_missing_is_named_with_its_extra(
    kind: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.trackers.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=rf"tunesmith\[{kind}\]"):
        send_run("support-triage/4", kind, run.path.parents[2])


def test_what_is_asked_of_a_tracker_is_checked(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with pytest.raises(NotFound, match="did you mean 'wandb'"):
        send_run("support-triage", "wandbb", tmp_path)
    with pytest.raises(UserError, match=r"did you mean 'folder'"):
        send_run("support-triage", "tensorboard", tmp_path, settings=["foldr=x"])
    with pytest.raises(UserError, match="name=value"):
        send_run("support-triage", "tensorboard", tmp_path, settings=["folder"])
    with pytest.raises(UserError, match=r"mlflow\.uri"):
        send_run("support-triage", "mlflow", tmp_path, settings=["uri=ftp://x"])
    with pytest.raises(UserError, match=r"wandb\.mode"):
        send_run("support-triage", "wandb", tmp_path, settings=["mode=sometimes"])
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="tensorboard"):
        send_run("support-triage", "tensorboard", tmp_path, folder=tmp_path / "file")
    sent = send_run("support-triage", "tensorboard", tmp_path, settings=["folder=mine"])
    assert sent == {
        "run": "support-triage/4",
        "tracker": "tensorboard",
        "where": str(tmp_path / "mine/tensorboard/support-triage/4"),
        "rows": 310,
    }


def test_online_and_entity_are_asked_of_wandb(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network: what `wandb.init` would be asked, and that steps the server has are left out."""
    online = tracker("wandb", mode="online", entity="team", project="routing")
    import wandb

    class Server:
        starting_step = 300
        summary: dict[str, Any] = {}

        def __init__(self, **asked: Any) -> None:
            self.asked, self.logged, self.config = asked, [], self
            asking.append(self)

        def update(self, *_: Any, **__: Any) -> None: ...

        def define_metric(self, *_: Any, **__: Any) -> None: ...

        def log(self, values: dict[str, float], step: int) -> None:
            self.logged.append(step)

        def finish(self) -> None: ...

    asking: list[Server] = []
    monkeypatch.setattr(wandb, "init", Server)
    send(run, online)
    [server] = asking
    assert server.asked["mode"] == "online" and server.asked["resume"] == "allow"
    assert server.asked["entity"] == "team" and server.asked["project"] == "routing"
    assert server.logged == list(range(300, 310))
