"""Metrics of JSON and of code: fields by hand, pass@k by its formula, and programs that mean harm."""

from __future__ import annotations

import json
import math
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from tests.golden.test_metrics_references import metric, said

from tunesmith.errors import DataError, UserError
from tunesmith.metrics import _sandbox, draws_of, pass_at_k
from tunesmith.metrics._sandbox import Limits, kernel, run
from tunesmith.metrics.pass_at_k import code_of, estimate
from tunesmith.records import Prediction, Record

RIGHT = json.dumps({"name": "Anna", "age": 30, "home": {"city": "Bern"}, "tags": ["a", "b"]})  # five fields


def fields(answer: object, *more: str, **settings: object) -> tuple[float, float]:
    """(accuracy, F1)."""
    written = answer if isinstance(answer, str) else json.dumps(answer)
    rows = [said(written, *(more or (RIGHT,)))]
    accuracy, f1 = (metric({"kind": name, **settings}).score(rows).value for name in ("field_accuracy", "field_f1"))
    return accuracy, f1


def test_fields_by_hand() -> None:
    right = json.loads(RIGHT)
    assert fields(dict(reversed(right.items()))) == (1, 1)
    assert fields({**right, "age": 30.0, "tags": ["b", "a"]}) == (1, 1)
    assert fields({**right, "age": True}) == fields({**right, "age": "30"}) == (0.8, 0.8)
    assert fields({**right, "extra": None}) == (1, pytest.approx(10 / 11))  # one too many
    assert fields({**right, "home": {}}) == (0.8, 0.8)  # an empty object stands for a city
    assert fields({"name": "Anna"}) == (0.2, pytest.approx(2 / 6))
    assert fields({"city": "Bern"}) == (0, 0)  # another path
    assert fields("no json") == fields("") == fields('{"name": NaN}') == (0, 0)
    assert fields("3", "3") == fields("[]", "[]") == (1, 1)
    assert fields('["x", "x"]', '["x"]') == (1, pytest.approx(2 / 3))
    assert all(map(math.isnan, fields(RIGHT, "prose")))
    assert fields('{"a": 1}', '{"a": 2}', '{"a": 1}') == (1, 1)
    assert fields('{"a.b": 1}', '{"a": {"b": 1}}') == (0, 0)


def test_settings_of_fields() -> None:
    right = json.loads(RIGHT)
    assert fields({**right, "tags": ["b", "a"]}, ordered=True) == (0.6, 0.6)
    assert fields({**right, "name": " anna."}) == (0.8, 0.8)
    assert fields({**right, "name": " anna."}, compare="words") == (1, 1)
    assert fields(f"Here:\n```json\n{RIGHT}\n```\nDone.") == (0, 0)
    assert fields(f"Here:\n```json\n{RIGHT}\n```\nDone.", fenced=True) == (1, 1)


def test_fields_are_counted_over_all_rows() -> None:
    rows = [said('{"a": 1, "b": 2}', '{"a": 1, "b": 2}'), said('{"a": 0}', '{"a": 1}'), said("x", "no json")]
    score = metric("field_f1").score(rows)
    assert score.value == pytest.approx(2 / 3) and score.num_rows == 2


def test_json_is_valid_from_end_to_end() -> None:
    answers = [
        "{}",
        " [1] ",
        '"é"',
        "3",
        "null",
        "",
        "{'a': 1}",
        '{"a": NaN}',
        "{} {}",
        "[" * 100_000,
        '```json\n{"a": 1}\n```',
    ]
    rows = [said(answer, "x") for answer in answers]
    assert metric("json_valid").score(rows).per_row.tolist() == [1] * 5 + [0] * 6
    assert metric({"kind": "json_valid", "fenced": True}).score(rows).per_row.tolist() == [1] * 5 + [0] * 5 + [1]


def test_json_keeps_a_schema() -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    part = metric({"kind": "json_valid", "json_schema": schema})
    rows = [said(answer, "x") for answer in ('{"a": 1}', '{"a": "1"}', "{}", "[]", "no")]
    assert part.score(rows).per_row.tolist() == [1, 0, 0, 0, 0] and part.name == "json_valid(json_schema)"
    with pytest.raises(UserError, match="no JSON Schema"):
        metric({"kind": "json_valid", "json_schema": {"type": "objekt"}}).score(rows)


# pass@k


def test_the_estimate_is_that_of_all_subsets() -> None:
    for n, c, k in ((5, 2, 3), (4, 0, 1), (4, 4, 2), (6, 1, 6), (7, 3, 2)):
        subsets = list(combinations([True] * c + [False] * (n - c), k))
        assert estimate(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))
    published = [(10, 3, 1, 0.3), (10, 3, 5, 0.916667), (200, 17, 100, 0.999996)]
    assert [estimate(n, c, k) for n, c, k, _ in published] == pytest.approx(
        [value for *_, value in published], abs=1e-6
    )


def coded(output: str, *samples: str, references: tuple[str, ...] = (), **slices: str) -> Prediction:
    return Prediction(Record("r", "rows:1", references=references, slices=slices), output, "x", samples=samples)


ADD = "def add(a, b):\n    return a + b"
TESTS = "assert add(1, 2) == 3, assert add(0, 0) == 0"  # a list of asserts as a column keeps it


def test_answers_pass_their_tests() -> None:
    rows = [
        coded(f"Here:\n```python\n{ADD}\n```\nIt adds.", tests=TESTS),
        coded(ADD.replace("+", "-"), tests=TESTS.replace(", assert", "\nassert")),
        coded("it adds", tests=TESTS),
        coded(ADD, tests="(missing)", references=("assert add(2, 2) == 5",)),
        coded("def area(r): return math.pi * r", checks="assert area(1) > 3", before="import math"),
    ]
    assert metric("pass_at_k").score(rows[:4]).per_row.tolist() == pytest.approx([1, 0, 0, math.nan], nan_ok=True)
    assert metric({"kind": "pass_at_k", "tests": None}).score([rows[3]]).value == 0
    named = metric({"kind": "pass_at_k", "tests": "checks", "setup": "before"})
    assert named.columns == ("checks", "before") and named.score(rows[4:]).value == 1
    with pytest.raises(DataError, match="holds no Python"):
        metric("pass_at_k").score([coded(ADD, tests="add up!")])


def test_samples_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(pass_at_k, "run", lambda program, limits: ran.append(limits) or run(program, limits))
    wrong = ADD.replace("+", "*")
    rows = [coded("", ADD, wrong, wrong, "9", tests=TESTS), coded(ADD, tests=TESTS)]
    settings = {"kind": "pass_at_k", "samples": 3, "k": 2, "temperature": 0.4, "seconds": 7, "memory": 700}
    part = metric(settings)
    score = part.score(rows)
    assert score.per_row[0] == pytest.approx(estimate(3, 1, 2)) and np.isnan(score.per_row[1])
    assert set(ran) == {Limits(seconds=7, memory=700)} and len(ran) == 2, "equal programs run once"
    assert part.score(rows).value == score.value and len(ran) == 2, "and once for a whole run"
    draws = draws_of([part, metric("bleu"), metric({**settings, "samples": 5})])
    assert draws is not None and (draws.count, draws.temperature) == (5, 0.4)
    assert draws_of([metric("pass_at_k")]) is None
    with pytest.raises(UserError, match="different ways"):
        draws_of([part, metric({**settings, "temperature": 0.5})])
    with pytest.raises(ValueError, match="at least as many samples"):
        metric({"kind": "pass_at_k", "k": 2})


def test_code_is_the_first_block_between_fences() -> None:
    assert code_of("a\n```py\nx = 1\r\n```\n```\ny\n```") == "x = 1\n"
    assert code_of("```\ncut off") == "cut off" and code_of("x = 1") == "x = 1"


HARM = {
    "ends early with success": "import os; os._exit(0)",
    "exits with success": "raise SystemExit(0)",
    "forges what is said of it": (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'passed')\n    except OSError: pass\nos._exit(0)"
    ),
    "forks without end": "import os\nwhile True: os.fork()",
    "starts a process": "import os\nif os.fork() == 0: os._exit(0)",
    "starts a program": "import subprocess; subprocess.run(['true'])",
    "takes all memory": "held = []\nwhile True: held.append(bytearray(10**7))",
    "fills the disk": "i = 0\nwhile True:\n    i += 1\n    open(f'f{i}', 'wb').write(bytes(10**6))",
    "asks the network": "import socket; socket.socket()",
    "writes outside": "open('{outside}/evil', 'w')",
    "reads outside": "open('{outside}/secret').read()",
    "changes modes outside": "import os; os.chmod('{outside}/secret', 0)",
    "reads the parent's environment": "import os; open(f'/proc/{{os.getppid()}}/environ').read()",
    "kills its parent": "import os; os.kill(os.getppid(), 9)",
    "raises its limits": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))",
    "leaves its group": "import os; os.setsid()",
}


@pytest.mark.parametrize("harm", HARM)
def test_programs_that_mean_harm_fail_and_do_none(harm: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    program = HARM[harm].replace("{outside}", str(tmp_path)).replace("{{", "{").replace("}}", "}")
    outcome = run(program, Limits(seconds=2, memory=300, disk=2))
    assert not outcome.passed and outcome.why
    assert [path.name for path in tmp_path.iterdir()] == ["secret"] and secret.stat().st_mode & 0o600


def test_a_program_that_never_ends_is_ended() -> None:
    # Where others compute beside it the wall's clock may be the first.
    said = ("it took more CPU time than it may", "it ran longer than 5 seconds")
    assert run("while True: pass", Limits(seconds=1)).why in said


def test_a_program_that_sleeps_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sandbox, "time_by_the_wall", lambda seconds: 0.5)
    assert run("import time; time.sleep(100)", Limits(seconds=1)).why == "it ran longer than 0.5 seconds"


def test_what_programs_may_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("A_SECRET", "s")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = (
        "import os, tempfile, threading\nassert 'A_SECRET' not in os.environ\n"
        "with tempfile.TemporaryFile() as file: file.write(b'x')\n"
        "made = []\nthread = threading.Thread(target=made.append, args=(1,)); thread.start(); thread.join()\n"
        "assert made == [1] and __name__ == '__main__'\nopen('here', 'w').write('x')\nprint('said')"
    )
    assert run(program, Limits()) == _sandbox.Outcome(True, "")
    assert not list(tmp_path.iterdir()), "its folder is still there"


def test_a_machine_that_cannot_lock_programs_in_runs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel.sys, "platform", "darwin")
    assert "is not Linux" in kernel.missing()
    with pytest.raises(UserError, match="locked in"):
        metric("pass_at_k").score([coded("never_run = 1", tests="assert True")])
