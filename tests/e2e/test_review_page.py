"""A review in a real browser: three people rate at once, one of them loses the connection, a fourth settles."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from tests.unit.review_fixture import RUN, triage
from tunesmith.evaluate.predict.stored import read_predictions, write_predictions
from tunesmith.evaluate.review import stored
from tunesmith.flow.review import Desk, new_review

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is in the extra `test`")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; Debian's package is called chromium")

HOSTILE = (
    "</div><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
    "\u202e\u05e9\u05dc\u05d5\u05dd javascript:alert(1) " + "long " * 20_000 + "the end"
)
SERVE = "import sys; sys.argv[0] = 'tunesmith'; from tunesmith.cli.app import main; main()"
ITEMS = 4


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a review of four items, rated by three people, whose answers mean harm."""
    from dataclasses import replace

    folder = tmp_path_factory.mktemp("review")
    run = triage(folder)
    path = run / "evaluation" / "predictions-base.parquet"
    write_predictions(path, [replace(row, output=HOSTILE) for row in read_predictions(path)])
    new_review(
        RUN, folder / "rubric.yaml", folder, raters=["anna", "ben", "cara"], items=ITEMS, shared=1, adjudicator="zoe"
    )
    return folder


@pytest.fixture(scope="module")
def links(workspace: Path) -> Iterator[dict[str, str]]:
    """Name -> link, of the server that `tunesmith review serve` starts."""
    command = [sys.executable, "-c", SERVE, "review", "serve", RUN, "-w", str(workspace), "--port", "0", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(Path(tunesmith.__file__).parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = ""
        while not said.endswith("\n}\n"):
            line = process.stdout.readline()
            assert line, f"the server ended: {said}"
            said += line
        served = json.loads(said)
        yield {link["name"]: served["address"] + link["path"] for link in served["links"]}
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


class Somebody:
    """A person at a browser of their own."""

    def __init__(self, browser: Any, link: str, **screen: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **screen})
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.open(link)

    def open(self, link: str) -> None:
        self.page.goto(link)
        self.page.wait_for_selector("body[data-ready]")

    def begin(self) -> None:
        if self.page.evaluate("document.getElementById('welcome').open"):
            self.page.keyboard.press("Enter")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def waits_for(self, selector: str, text: str) -> None:
        self.page.wait_for_function(
            "([selector, text]) => document.querySelector(selector).textContent.includes(text)", arg=[selector, text]
        )

    def saved(self) -> None:
        self.page.wait_for_selector("#saved[data-state=saved]")

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()


def said_in(workspace: Path) -> dict[tuple[str, int], dict[str, str]]:
    with Desk(RUN, workspace) as desk:
        found = desk.filled()
    names = {person.number: person.name for person in found.people}
    return {(names[one.person], one.item): one.marks for one in found.answers}


@pytest.fixture(scope="module", autouse=True)
def rated(browser: Any, workspace: Path, links: dict[str, str]) -> dict[tuple[str, int], dict[str, str]]:
    """What three people said who rated at once, one of them offline for a while; every test comes after."""
    anna, ben, cara = (Somebody(browser, links[name]) for name in ("anna", "ben", "cara"))
    for one in (anna, ben, cara):
        one.begin()
    # The keyboard alone: helpful, safe and tone of A, the same of B, then the preference; then the next item.
    for turn in range(ITEMS):
        anna.press("4", "1", "1", "2", "2", "3", "1", "Enter")
        if turn == 1:
            ben.page.wait_for_function(
                "performance.getEntriesByType('resource').filter(e => e.name.includes('/items/')).length >= 4"
            )
            ben.context.set_offline(True)
        ben.press("2", "1", "2", "0", "2", "3", "3", "Enter")
        cara.press("5", "1", "1", "1", "2", "3", "2", "j")
    for one in (anna, cara):
        one.saved()
        assert "All done" in one.text("#done")
    ben.waits_for("#saved", "Offline, 3 kept here")
    assert len({item for name, item in said_in(workspace) if name == "ben"}) == 1
    # He corrects himself while he is away, and even closes the window; what he said is still there.
    ben.press("u", "1")
    ben.page.close()
    ben.context.set_offline(False)
    ben.page = ben.context.new_page()
    ben.open(links["ben"])
    ben.saved()
    for one in (anna, ben, cara):
        assert not [line for line in one.said if "error:" in line or "Content Security" in line]
        one.context.close()
    return said_in(workspace)


def test_three_rate_at_once_and_one_loses_the_connection(rated: dict[tuple[str, int], dict[str, str]]) -> None:
    assert len(rated) == 3 * ITEMS and all(len(marks) == 7 for marks in rated.values())
    expected = ["2", "yes", "neutral", "skip", "no", "cold", "B"]
    bens = [list(marks.values()) for (name, _), marks in rated.items() if name == "ben"]
    assert sorted(bens) == sorted([expected] * 3 + [[*expected[:-1], "A"]])
    assert all(
        list(marks.values()) == ["4", "yes", "warm", "2", "no", "cold", "A"]
        for (name, _), marks in rated.items()
        if name == "anna"
    )


def test_what_is_shown_is_text(browser: Any, links: dict[str, str]) -> None:
    """Markup, right-to-left marks and a hundred thousand characters; and no arm is named."""
    anna = Somebody(browser, links["anna"])
    anna.begin()
    assert anna.page.title() == "Answers to tickets"
    assert "<script>document.title='pwned'</script>" in anna.text("#outputs")
    assert anna.page.locator("#outputs img, #outputs script").count() == 0
    assert "the end" not in anna.text("#outputs")
    anna.page.get_by_role("button", name="Show all 100,").first.click()
    assert "the end" in anna.text("#outputs")
    assert "tuned" not in anna.page.content()
    assert anna.page.title() == "Answers to tickets"
    assert not anna.said
    anna.context.close()


def test_two_windows_of_one_rater_lose_nothing(browser: Any, workspace: Path, links: dict[str, str]) -> None:
    one, other = Somebody(browser, links["cara"]), Somebody(browser, links["cara"])
    place = one.text("#place")
    assert other.text("#place") == place
    one.press("ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "1")
    one.saved()
    other.press("n")
    other.page.keyboard.type("seen twice")
    other.press("Escape")
    other.page.wait_for_timeout(100)
    other.saved()
    with Desk(RUN, workspace) as desk:
        answer = next(answer for answer in desk.filled().answers if answer.note == "seen twice")
    assert answer.person == 3 and answer.marks["helpful-a"] == "1" and answer.marks["preference"] == "tie"
    one.context.close()
    other.context.close()


def test_disagreements_are_settled_at_the_desk(browser: Any, workspace: Path, links: dict[str, str]) -> None:
    zoe = Somebody(browser, links["zoe"])
    zoe.waits_for("#case-place", "Case 1 of")
    total = int(zoe.text("#case-place").rpartition(" ")[2])
    with Desk(RUN, workspace) as desk:
        assert len(desk.filled().differing()) == total > 4
    assert zoe.page.locator(".vote").count() == 3
    zoe.press("1")
    zoe.waits_for("#decided", "Settled by zoe")
    zoe.press("j", "2")
    zoe.waits_for("#decided", "Settled by zoe")
    zoe.press("u")
    zoe.waits_for("#settle-lead", f"{total - 1} of {total}")
    for hidden in ("anna", "tuned"):
        assert hidden not in zoe.text("#case")
    with Desk(RUN, workspace) as desk:
        found = desk.filled()
        assert list(found.settled) == [found.differing()[0]]
        assert stored.find(desk.opened, RUN).number == 1
    with zoe.page.expect_download() as download:
        zoe.page.get_by_role("button", name="Ratings, CSV").click()
    assert "zoe" in Path(download.value.path()).read_text()
    assert not zoe.said
    zoe.context.close()


@pytest.mark.parametrize("page", ["anna", "zoe"])
def test_it_fits_a_phone_and_fingers(browser: Any, links: dict[str, str], page: str) -> None:
    screen = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}
    phone = Somebody(browser, links[page], **screen)
    assert phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    sizes = phone.page.evaluate(
        "[...document.querySelectorAll('.option, .moves button')].map(e => e.getBoundingClientRect().height)"
    )
    assert sizes and min(sizes) >= 40
    phone.context.close()


def test_nothing_jumps_from_item_to_item(browser: Any, links: dict[str, str]) -> None:
    """What is clicked stays where it was, whatever the item and whatever was answered."""
    cara = Somebody(browser, links["cara"])
    where = (
        "[...document.querySelectorAll('.question, #note, #next')].map(e => Math.round(e.getBoundingClientRect().top))"
    )
    cara.press("k", "k", "k")
    places = [cara.page.evaluate(where)]
    for _ in range(ITEMS - 1):
        cara.press("j")
        cara.page.wait_for_timeout(60)
        places.append(cara.page.evaluate(where))
    assert all(place == places[0] for place in places)
    cara.context.close()


def test_every_control_has_a_name_for_a_screen_reader(browser: Any, links: dict[str, str]) -> None:
    anna = Somebody(browser, links["anna"])
    assert anna.page.get_by_role("group", name="Does it solve the problem?").count() == 2
    assert anna.page.get_by_role("radio", name="5, completely").count() == 2
    assert anna.page.get_by_role("radio", name="Cannot tell").count() == 7
    unnamed = anna.page.evaluate(
        "[...document.querySelectorAll('button, input, textarea')].filter(e => !(e.ariaLabel || e.textContent.trim()"
        " || e.labels?.[0]?.textContent.trim())).length"
    )
    assert unnamed == 0
    assert anna.page.get_by_role("progressbar", name="Items done").get_attribute("aria-valuenow") == "4"
    anna.context.close()
