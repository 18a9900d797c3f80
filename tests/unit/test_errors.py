from __future__ import annotations

import inspect
import pickle

import pytest

from tunesmith import errors
from tunesmith.errors import (
    DataError,
    Error,
    Interrupted,
    MissingDependency,
    NonFinite,
    Problem,
    SpecError,
    UserError,
    did_you_mean,
)

EXAMPLES = [
    DataError("no rows", where="a.jsonl", fix="give it some"),
    NonFinite("loss is NaN", where="step 3"),
    Interrupted("stopped"),
    SpecError([Problem("a.yaml:1 name", "is missing"), Problem("a.yaml:2", "is odd")]),
    MissingDependency("datasets", extra="hub", needed_by="data.sources.0"),
]


def test_an_error_says_where_what_and_what_to_do() -> None:
    assert str(DataError("no rows", where="a.jsonl", fix="give it some")) == "a.jsonl: no rows\n  fix: give it some"
    assert str(Error("no rows")) == "no rows"


def test_a_user_error_without_a_fix_cannot_be_made() -> None:
    with pytest.raises(TypeError):
        UserError("no rows")  # type: ignore[call-arg]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_between_processes(error: Error) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.what, again.where, again.fix) == (str(error), error.what, error.where, error.fix)
    assert vars(again) == vars(error)


def test_a_spec_error_lists_every_problem() -> None:
    text = str(EXAMPLES[3])
    assert "a.yaml:1 name: is missing" in text
    assert "a.yaml:2: is odd" in text
    assert "2 lines" in text
    assert "2 lines" not in str(SpecError([Problem("a.yaml:1", "is odd")]))


def test_exit_codes() -> None:
    assert (DataError("", fix="").exit_code, NonFinite("").exit_code, Interrupted("").exit_code) == (2, 1, 130)


def test_a_missing_dependency_names_the_pip_line() -> None:
    assert "pip install 'tunesmith[hub]'" in str(EXAMPLES[4])


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = errors.__doc__ or ""
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, Error) and kind is not Error:
            line = next(line for line in drawn.splitlines() if f"── {name} " in line)
            depth = line.index("──")
            level = kind.__mro__.index(Error)
            assert depth == 4 * level - 3, f"{name} is drawn wrongly"


@pytest.mark.parametrize(
    ("name", "said"), [("dop", " (did you mean 'dpo'?)"), ("lora", " (did you mean 'lora'?)"), ("xyz", ""), ("", "")]
)
def test_did_you_mean(name: str, said: str) -> None:
    assert did_you_mean(name, ["dpo", "lora"]) == said
