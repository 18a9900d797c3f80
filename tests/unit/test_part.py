from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tunesmith import part
from tunesmith.errors import Error, NotFound, UserError
from tunesmith.part import FAMILIES, METRICS, OPTIMIZERS, STEPS, Family, Part

PLUGIN = Path(__file__).parents[1] / "plugin"


@pytest.fixture
def fruits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    """A family of its own: a folder with a contract and some files."""
    folder = tmp_path / "orchard"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    (folder / "__init__.py").write_text(
        "from tunesmith.part import Part\n"
        "class Fruit(Part):\n    colour: str = 'green'\n    sizes: tuple[int, ...] = (1,)\n    weight: float = 1.0\n"
    )
    (folder / "apple.py").write_text("from orchard import Fruit\nclass Apple(Fruit):\n    pass\n")
    (folder / "pear.py").write_text("from orchard import Fruit\nclass Pear(Fruit):\n    ripe: bool\n")
    (folder / "_hidden.py").write_text("")
    (folder / "two.py").write_text(
        "from orchard import Fruit\nclass _Own(Fruit):\n    pass\nclass A(_Own):\n    pass\nclass B(_Own):\n    pass\n"
    )
    (folder / "stone.py").write_text("class Stone:\n    pass\n")
    yield Family("fruits", "fruit", "orchard", "Fruit", default="apple")
    for name in [name for name in sys.modules if name.partition(".")[0] == "orchard"]:
        del sys.modules[name]


def test_the_folder_is_the_registry_and_nothing_is_imported_to_list_it(fruits: Family) -> None:
    assert fruits.names() == ["apple", "pear", "stone", "two"]
    assert "orchard.apple" not in sys.modules


def test_a_name_or_a_mapping_makes_a_part(fruits: Family) -> None:
    assert fruits.make("apple").settings() == {"kind": "apple", "colour": "green", "sizes": [1], "weight": 1.0}
    made = fruits.make({"kind": "pear", "ripe": True, "sizes": [3, 4], "weight": 2})
    assert (made.kind, made.sizes, made.weight) == ("pear", (3, 4), 2.0)  # type: ignore[attr-defined]
    assert fruits.make(made) is made
    assert fruits.make(made.settings()) == made
    assert fruits.make({"colour": "red"}).kind == "apple", "the default kind"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("appel", "no fruit 'appel' (did you mean 'apple'?)"),
        ("_hidden", "no fruit '_hidden'"),
        ("../apple", "no fruit '../apple'"),
        ("", "no fruit ''"),
    ],
)
def test_an_unknown_name_lists_those_that_exist(fruits: Family, value: str, said: str) -> None:
    with pytest.raises(NotFound) as raised:
        fruits.make(value)
    assert raised.value.what.startswith(said)
    assert "apple, pear" in raised.value.fix


@pytest.mark.parametrize("value", [5, None, ["apple"], {"kind": 5}, {"kind": ["apple"]}])
def test_what_is_neither_name_nor_mapping_is_told_what_to_write(fruits: Family, value: Any) -> None:
    with pytest.raises(TypeError, match=r"write the name of one fruit or \{kind: name"):
        fruits.make(value)


def test_without_a_default_the_kind_is_needed() -> None:
    with pytest.raises(TypeError, match="write the name of one step"):
        STEPS.make({"threshold": 1})


@pytest.mark.parametrize(
    "settings",
    [
        {"ripe": "yes"},
        {"ripe": 1},
        {"colour": 5},
        {"sizes": ["1"]},
        {"sizes": [True]},
        {"colur": "red"},
        {"weight": "2"},
    ],
)
def test_settings_are_strict(fruits: Family, settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        fruits.make({"kind": "pear", "ripe": True, **settings})


def test_parts_are_frozen(fruits: Family) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        fruits.make("apple").colour = "red"  # type: ignore[attr-defined]


def test_a_file_holds_one_part(fruits: Family) -> None:
    with pytest.raises(Error, match="holds 2"):
        fruits.load("two")
    with pytest.raises(Error, match="holds 0"):
        fruits.load("stone")


def announce(family: Family, monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    found = [EntryPoint(name, value, "tunesmith.fruits") for name, value in points]
    monkeypatch.setattr(part, "entry_points", lambda group: found if group == f"tunesmith.{family.name}" else [])


def test_an_entry_point_to_something_else_is_refused(fruits: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(fruits, monkeypatch, ("rock", "orchard.stone:Stone"))
    with pytest.raises(Error, match="not a Fruit"):
        fruits.load("rock")


def test_an_entry_point_may_have_another_name_than_its_module(fruits: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(fruits, monkeypatch, ("malus", "orchard.apple:Apple"), ("birne", "orchard.pear"))
    assert fruits.names() == ["apple", "birne", "malus", "pear", "stone", "two"]
    assert fruits.make({"kind": "birne", "ripe": False}).settings()["kind"] == "birne"


@pytest.mark.parametrize("points", [[("apple", "orchard.pear")], [("fig", "orchard.pear"), ("fig", "orchard.apple")]])
def test_a_name_claimed_twice_is_refused_and_not_guessed(
    fruits: Family, monkeypatch: pytest.MonkeyPatch, points: list[tuple[str, str]]
) -> None:
    announce(fruits, monkeypatch, *points)
    with pytest.raises(UserError, match="more than one package"):
        fruits.load(points[0][0])


@pytest.mark.parametrize("body", ["import nothing_of_that_name", "1 / 0", "def", "raise ValueError('no')"])
def test_a_package_that_cannot_be_imported_is_named(
    fruits: Family, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str
) -> None:
    (tmp_path / "orchard" / "_broken.py").write_text(body)
    announce(fruits, monkeypatch, ("broken", "orchard._broken"))
    with pytest.raises(NotFound, match="cannot be imported") as raised:
        fruits.load("broken")
    assert "orchard._broken" in raised.value.where


def test_a_field_of_a_section_takes_names_and_mappings(fruits: Family) -> None:
    from typing import Annotated

    class Basket(BaseModel):
        best: Annotated[Part, fruits] | None = None
        rest: list[Annotated[Part, fruits]] = []

    basket = Basket.model_validate({"best": "apple", "rest": [{"kind": "pear", "ripe": True}]})
    assert basket.rest[0].kind == "pear"
    assert Basket.model_validate(json.loads(basket.model_dump_json())) == basket
    with pytest.raises(ValidationError) as raised:
        Basket.model_validate({"best": "appel", "rest": [{"kind": "pear", "ripe": 3, "x": 1}, 7]})
    assert {error["loc"] for error in raised.value.errors()} == {
        ("best",),
        ("rest", 0, "ripe"),
        ("rest", 0, "x"),
        ("rest", 1),
    }


def test_every_family_has_a_folder_and_its_default_exists() -> None:
    for family in FAMILIES:
        assert family.names(), f"{family} has no parts"
        assert family.default is None or family.default in family.names()
    assert "accuracy" in METRICS.names()
    assert OPTIMIZERS.make({"lr": 1e-4}).settings()["betas"] == [0.9, 0.999]


USE_THE_PLUGIN = """
import json, sys
from tunesmith.spec.load import parse
from tunesmith.spec.schema import json_schema
from tunesmith.testing import check_part, contract_cases
from tunesmith.part import LABEL_FUNCTIONS, METRICS, OBJECTIVES, STEPS
spec, written = parse('''
name: loud
goal: {targets: [{metric: {kind: loudness, floor: 0.1}, at_least: 0.5}]}
data:
  sources: [a.jsonl]
  steps: [clean, {kind: shout, mark: "!!"}, {kind: label_functions, functions: [{kind: loud, name: capitals}]}]
train: {objective: {kind: gentle, scale: 0.25}}
''')
from tunesmith.data.passes.curate import apply
from tunesmith.records import Record
voted = apply(spec.data.steps[2], [Record("1", "a:1", text="NO!"), Record("2", "a:2", text="no")])
kept = apply(spec.data.steps[1], [Record("1", "a:1", text="hello"), Record("2", "a:2", text="")])
for family, name in ((STEPS, "shout"), (METRICS, "loudness"), (OBJECTIVES, "gentle"), (LABEL_FUNCTIONS, "loud")):
    assert name in family.names()
    check_part(family, name)
print(json.dumps({
    "spec": spec.model_dump(mode="json"),
    "kept": [record.text for record in kept.kept],
    "voted": [dict(record.votes) for record in voted.kept],
    "dropped": [(drop.record.id, drop.step, drop.reason) for drop in kept.dropped],
    "schema": "tunesmith_shout" in json.dumps(json_schema()) or "mark" in json.dumps(json_schema()),
    "cases": sum(name in ("shout", "loudness", "gentle", "loud") for _, name, _ in contract_cases()),
}))
"""


def test_parts_of_an_installed_package_work_like_our_own() -> None:
    """`tests/plugin` lies on the path as pip would have put it: a package, and its announcements beside it."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", USE_THE_PLUGIN],
        env={"PYTHONPATH": str(PLUGIN), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["spec"]["goal"]["targets"][0]["metric"] == {"kind": "loudness", "floor": 0.1}
    assert said["spec"]["data"]["steps"][1] == {"kind": "shout", "mark": "!!"}
    assert said["spec"]["train"][0]["objective"] == {"kind": "gentle", "label_smoothing": 0.0, "scale": 0.25}
    assert said["kept"] == ["HELLO!!"]
    assert said["voted"] == [{"capitals": "angry"}, {}], "a labelling function in Python"
    assert said["dropped"] == [["2", "shout", "silent"]]
    assert said["schema"]
    assert said["cases"] >= 20
