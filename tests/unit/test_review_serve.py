"""The gate of a review's pages, and what stands behind it, against those who should not pass."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.review_fixture import KEY, SALT, fill, made, rubric, say, token_of

from tunesmith.evaluate.review import links, stored
from tunesmith.evaluate.review.people import revoke
from tunesmith.evaluate.review.stored import Review
from tunesmith.serve.review.app import review_app
from tunesmith.serve.review.gate import LARGEST_BODY, App
from tunesmith.store.open import Store

ANSWER = {"marks": {"helpful-a": "4"}, "note": "", "seconds": 3.5, "revision": 1}


class Site:
    """A review's pages, asked without a socket."""

    def __init__(self, app: App, store: Store, review: Review) -> None:
        self.app, self.store, self.review = app, store, review

    def ask(self, method: str, path: str, who: str | None = "anna", **options: Any) -> httpx.Response:
        headers = {"host": "localhost:8327", **options.pop("headers", {})}
        if who is not None:
            headers["x-review-token"] = token_of(who) if who in ("anna", "ben", "cara", "zoe") else who

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8327") as client:
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(once())

    def put(self, path: str, body: Any = ANSWER, who: str | None = "anna", **options: Any) -> httpx.Response:
        return self.ask("PUT", path, who, json=body, **options)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """For those who are refused; nothing is ever written."""
    store, review = made(tmp_path_factory.mktemp("site"))
    yield Site(review_app(store, review), store, review)
    store.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Site]:
    """For those who write."""
    store, review = made(tmp_path)
    yield Site(review_app(store, review), store, review)
    store.close()


def marks(site: Site) -> dict[tuple[int, int], dict[str, str]]:
    return {(one.person, one.item): one.marks for one in stored.filled(site.store, site.review).answers}


def test_a_rater_reads_rates_and_reads_again(fresh: Site) -> None:
    whole = fresh.ask("GET", "/api/rate/review").json()
    assert whole["rater"] == "anna" and len(whole["items"]) == 6 and len(whole["questions"]) == 7
    shown = fresh.ask("GET", "/api/rate/items/1").json()
    assert shown["outputs"] == {"A": "what base says 1", "B": "what tuned says 1"}
    assert "tuned" not in json.dumps(whole), "which arm is which is told"
    assert fresh.put("/api/rate/items/1").json()["revision"] == 1
    assert fresh.put("/api/rate/items/1").status_code == 200, "sent twice it is saved once"
    late = fresh.put("/api/rate/items/1", {**ANSWER, "marks": {"helpful-a": "1"}})
    assert late.status_code == 409 and late.json()["marks"] == {"helpful-a": "4"}
    assert marks(fresh) == {(1, 1): {"helpful-a": "4"}}
    assert fresh.ask("GET", "/api/rate/review").json()["items"][0]["marks"] == {"helpful-a": "4"}


@pytest.mark.parametrize(
    ("who", "path", "status"),
    [
        (None, "/api/rate/review", 401),
        ("", "/api/rate/review", 401),
        ("x" * 43, "/api/rate/items/1", 401),
        ("zoe", "/api/rate/review", 403),
        ("anna", "/api/desk/review", 403),
        ("anna", "/api/desk/items/1", 403),
        ("anna", "/api/desk/files/ratings", 403),
        ("anna", "/api/rate/items/99", 404),
        ("anna", "/api/rate/items/99999999999999999999999", 422),
        ("anna", "/api/rate/items/one", 422),
        ("anna", "/api/rate/nothing", 404),
        ("anna", "/", 404),
        ("anna", "/api", 404),
        ("anna", "/docs", 404),
        ("anna", "/openapi.json", 404),
        ("zoe", "/api/desk/files/passwords", 422),
        ("anna", "/static/../app.py", 404),
        ("anna", "/static/%2e%2e/app.py", 404),
        ("anna", "/static/..%2fapp.py", 404),
        ("anna", "/static/", 404),
        ("anna", "/static/rate.js%00", 404),
        ("anna", "/api/rate/review/" + "x" * 400, 414),
        ("anna", "/API/RATE/review", 404),
    ],
)  # fmt: skip
def test_what_is_not_expected_does_not_pass(site: Site, who: str | None, path: str, status: int) -> None:
    answer = site.ask("GET", path, who)
    assert answer.status_code == status and set(answer.json()) == {"what"}
    assert "Traceback" not in answer.text and "tuned" not in answer.text


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
def test_other_methods_do_not_pass(site: Site, method: str) -> None:
    assert site.ask(method, "/api/rate/items/1").status_code == 405
    assert site.ask(method, f"/rate/{token_of('anna')}").status_code == 405


def test_a_link_opens_its_own_page_alone(site: Site) -> None:
    assert site.ask("GET", f"/rate/{token_of('anna')}", None).status_code == 200
    assert site.ask("GET", f"/desk/{token_of('zoe')}", None).status_code == 200
    for path, status in (
        (f"/desk/{token_of('anna')}", 403),
        (f"/rate/{token_of('zoe')}", 403),
        ("/rate/", 401),
        ("/rate/x/y", 401),
    ):
        answer = site.ask("GET", path, None)
        assert answer.status_code == status and "This link opens nothing" in answer.text
    forged = token_of("anna")[:-1] + ("A" if token_of("anna")[-1] != "A" else "B")
    assert site.ask("GET", f"/rate/{forged}", None).status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**ANSWER, "marks": {"helpful-a": "9"}}, 422),
        ({**ANSWER, "marks": {"nothing": "1"}}, 422),
        ({**ANSWER, "marks": {"helpful-a": 4}}, 422),
        ({**ANSWER, "marks": {f"q{number}": "1" for number in range(99)}}, 422),
        ({**ANSWER, "marks": {"q" * 200: "1"}}, 422),
        ({**ANSWER, "note": "x" * 4001}, 422),
        ({**ANSWER, "note": None}, 422),
        ({**ANSWER, "seconds": -1}, 422),
        ({**ANSWER, "seconds": 1e9}, 422),
        ({**ANSWER, "revision": 0}, 422),
        ({**ANSWER, "revision": 2**70}, 422),
        ({**ANSWER, "revision": 1.5}, 422),
        ({**ANSWER, "revision": True}, 422),
        ({**ANSWER, "rater": 2}, 422),
        ({**ANSWER, "person": 2}, 422),
        ([], 422),
        ("x", 422),
    ],
)
def test_bodies_that_do_not_fit_are_refused(site: Site, body: Any, status: int) -> None:
    answer = site.put("/api/rate/items/1", body)
    assert answer.status_code == status and set(answer.json()) == {"what"}
    assert marks(site) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b'{"marks": NaN}',
        b'{"note": "\\ud800", "marks": {}, "seconds": 1, "revision": 1}',
        b"[" * 5000,
    ],
)
def test_bodies_that_are_no_json_are_refused(site: Site, content: bytes) -> None:
    answer = site.ask("PUT", "/api/rate/items/1", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422) and marks(site) == {}


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "application/jsonp"],
)
def test_what_a_form_of_another_site_can_send_is_refused(site: Site, kind: str) -> None:
    answer = site.ask("PUT", "/api/rate/items/1", content=json.dumps(ANSWER), headers={"content-type": kind})
    assert answer.status_code == 415 and marks(site) == {}


def test_other_sites_and_names_are_refused(site: Site) -> None:
    assert site.put("/api/rate/items/1", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert site.put("/api/rate/items/1", headers={"sec-fetch-site": "same-site"}).status_code == 403
    for host in ("evil.example", "localhost.evil.example:8327", "", "127.0.0.1.evil.example"):
        assert site.put("/api/rate/items/1", headers={"host": host}).status_code == 421
    assert marks(site) == {}
    for host in ("127.0.0.1:8327", "[::1]:8327", "localhost"):
        assert site.ask("GET", "/api/rate/review", headers={"host": host}).status_code == 200
    anywhere = Site(review_app(site.store, site.review, hosts=None), site.store, site.review)
    assert anywhere.ask("GET", "/api/rate/review", headers={"host": "rate.example"}).status_code == 200


def test_huge_bodies_are_refused_whatever_they_say_of_their_size(site: Site) -> None:
    assert site.put("/api/rate/items/1", {**ANSWER, "note": "x" * LARGEST_BODY}).status_code == 413

    async def in_pieces() -> Any:
        for _ in range(100):
            yield b"x" * 4096

    answer = site.ask("PUT", "/api/rate/items/1", content=in_pieces(), headers={"content-type": "application/json"})
    assert answer.status_code == 413 and marks(site) == {}


def test_every_answer_carries_the_policy(site: Site) -> None:
    for path in (f"/rate/{token_of('anna')}", "/static/rate.js", "/api/rate/review", "/nothing"):
        headers = site.ask("GET", path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"].startswith("no-store") and "set-cookie" not in headers


def test_pages_name_nothing_from_elsewhere(site: Site) -> None:
    for page in (f"/rate/{token_of('anna')}", f"/desk/{token_of('zoe')}", "/rate/x"):
        text = site.ask("GET", page, None).text
        assert not re.search(r"https?://|<script(?! type=\"module\" src=\"/static/)|style=|\son\w+=", text)


def test_titles_and_names_are_escaped(tmp_path: Path) -> None:
    store, review = made(tmp_path, rubric({"name": "x"}, title="</title><script>alert(1)</script>"), arms=["tuned"])
    text = Site(review_app(store, review), store, review).ask("GET", f"/rate/{token_of('anna')}", None).text
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    store.close()


def test_a_note_with_a_nul_is_kept_without_it(fresh: Site) -> None:
    assert fresh.put("/api/rate/items/1", {**ANSWER, "note": "a\0b"}).json()["note"] == "ab"


# The desk


def test_the_desk_tells_and_settles_blind(fresh: Site) -> None:
    say(fresh.store, fresh.review, "anna", 1, helpful_a="1", note="misses it")
    say(fresh.store, fresh.review, "ben", 1, helpful_a="5")
    desk = fresh.ask("GET", "/api/desk/review", "zoe").json()
    assert desk["differing"] == [
        {
            "item": 1,
            "question": "helpful-a",
            "votes": [{"value": "1", "note": "misses it"}, {"value": "5", "note": ""}],
            "settled": None,
        }
    ]
    assert desk["ends"] == {"rating(criterion=helpful)": [1, 5]} and desk["raters"][0]["assigned"] == 6
    assert fresh.put("/api/desk/settled/1/helpful-a", {"value": "4", "note": "why"}, "zoe").status_code == 200
    settled = fresh.ask("GET", "/api/desk/review", "zoe").json()["differing"][0]["settled"]
    assert settled == {"value": "4", "note": "why", "by": "zoe"}
    for path, body, status in (
        ("/api/desk/settled/1/helpful-a", {"value": "7"}, 422),
        ("/api/desk/settled/1/nothing", {"value": "4"}, 422),
        ("/api/desk/settled/99/helpful-a", {"value": "4"}, 404),
        ("/api/desk/settled/1/helpful-a", {}, 422),
    ):
        assert fresh.put(path, body, "zoe").status_code == status
    assert fresh.put("/api/desk/settled/1/helpful-a", {"value": "4"}, "anna").status_code == 403
    assert fresh.put("/api/desk/settled/1/helpful-a", {"value": None}, "zoe").status_code == 200
    assert fresh.ask("GET", "/api/desk/review", "zoe").json()["differing"][0]["settled"] is None


def test_the_desk_gives_files(fresh: Site) -> None:
    fill(fresh.store, fresh.review)
    stored.settle(
        fresh.store, fresh.review, stored.filled(fresh.store, fresh.review).people[-1], 1, "preference", "B", "=x"
    )
    rows = list(csv.DictReader(io.StringIO(fresh.ask("GET", "/api/desk/files/ratings", "zoe").text)))
    assert len(rows) == 3 * 6 * 7 + 1
    assert rows[-1] == {
        "item": "1", "record": "tickets:1", "rater": "zoe", "question": "preference", "arm": "", "value": "tuned",
        "note": "'=x", "adjudicated": "yes",
    }  # fmt: skip
    assert {row["arm"] for row in rows if row["question"] == "helpful-a"} == {"base", "tuned"}
    assert fresh.ask("GET", "/api/desk/files/results", "zoe").json()["items"]
    assert json.loads(fresh.ask("GET", "/api/desk/files/pairs", "zoe").text.splitlines()[0])["chosen"]


def test_a_link_that_is_taken_back_opens_nothing_at_once(fresh: Site) -> None:
    """Also in a page that is open; what was said stays. Another link opens what the first one did."""
    assert fresh.put("/api/rate/items/1").status_code == 200
    people = {person.name: person for person in stored.filled(fresh.store, fresh.review).people}
    again = links.token(KEY, SALT, people["anna"].number, 1)
    revoke(fresh.store, fresh.review, people["anna"], links.hashed(again), closed=False)
    assert (
        fresh.put("/api/rate/items/2").status_code == 401 == fresh.ask("GET", f"/rate/{token_of('anna')}").status_code
    )
    assert fresh.ask("GET", f"/rate/{again}", None).status_code == 200
    assert fresh.ask("GET", f"/rate/{token_of('ben')}", None).status_code == 200
    assert marks(fresh) == {(1, 1): ANSWER["marks"]}
