"""An endpoint that answers, hesitates, fails and talks nonsense: what becomes of it, and of the key."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tunesmith.errors import RunError, UserError
from tunesmith.models.roles.remote import RemoteResponder
from tunesmith.records import Message

Reply = tuple[int, dict[str, str], bytes]
KEY = "sk-very-secret-key"


def completion(text: str | None, usage: Any = None) -> Reply:
    said = {"choices": [{"message": {"role": "assistant", "content": text}}]}
    return 200, {}, json.dumps(said if usage is None else {**said, "usage": usage}).encode()


@contextmanager
def endpoint(answer: Callable[[int, dict[str, Any]], Reply]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on this machine; (its address, what it was sent). `answer` is given the number of the call."""
    calls: list[dict[str, Any]] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                number = len(calls)
                calls.append({"path": self.path, "key": self.headers.get("authorization"), **body})
            status, headers, content = answer(number, body)
            self.send_response(status)
            for name, value in {"content-length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Whoever asked may have gone."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", calls
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TUNESMITH_API_KEY", KEY)


def asked(*texts: str) -> list[list[Message]]:
    return [[Message("system", "Be brief."), Message("user", text)] for text in texts]


def test_answers_come_in_order_however_long_each_takes() -> None:
    def answer(number: int, body: dict[str, Any]) -> Reply:
        said = body["messages"][-1]["content"]
        time.sleep(0.05 if said == "0" else 0)
        return completion(f"{said}!")

    texts = [str(number) for number in range(20)]
    with endpoint(answer) as (url, calls):
        found = RemoteResponder(f"{url}#small", concurrency=4).respond(
            asked(*texts), max_tokens=7, temperature=0.5, seed=3
        )
    assert found == [f"{text}!" for text in texts]
    assert len(calls) == 20
    assert {(call["model"], call["max_tokens"], call["temperature"], call["seed"], call["path"]) for call in calls} == {
        ("small", 7, 0.5, 3, "/v1/chat/completions")
    }
    assert calls[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert {call["key"] for call in calls} == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    "failure",
    [
        (429, {"retry-after": "0"}, b"slow down"),
        (429, {}, b""),
        (500, {}, b"oh"),
        (503, {"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}, b""),
        (200, {}, b"<html>not json</html>"),
        (200, {}, b'{"choices": []}'),
        (200, {}, b'{"choices": [{"message": {"content": 5}}]}'),
        (200, {"content-length": "1000"}, b"breaks off"),
        (200, {"content-encoding": "gzip"}, b"no gzip"),
    ],
    ids=str,
)
def test_what_fails_in_passing_is_asked_again(failure: Reply) -> None:
    with endpoint(lambda number, body: failure if number < 2 else completion("at last")) as (url, calls):
        responder = RemoteResponder(f"{url}#m", wait=0.001)
        assert responder.respond(asked("x"), max_tokens=5) == ["at last"]
    assert len(calls) == 3


def test_what_goes_on_failing_is_given_up_and_says_why() -> None:
    with endpoint(lambda number, body: (500, {}, b"")) as (url, calls):
        responder = RemoteResponder(f"{url}#m", wait=0.001, attempts=3)
        with pytest.raises(RunError, match="status 500, 3 times"):
            responder.respond(asked("x"), max_tokens=5)
    assert len(calls) == 3


def test_an_endpoint_that_says_nothing_in_time_is_given_up() -> None:
    release = threading.Event()

    def answer(number: int, body: dict[str, Any]) -> Reply:
        release.wait(5)
        return completion("late")

    with endpoint(answer) as (url, _):
        responder = RemoteResponder(f"{url}#m", wait=0.001, attempts=2, timeout=0.05)
        with pytest.raises(RunError, match="ReadTimeout"):
            responder.respond(asked("x"), max_tokens=5)
        release.set()


@pytest.mark.parametrize(("status", "fix"), [(401, "valid key"), (403, "may use 'm'"), (404, "address"), (400, "name")])
def test_a_refusal_is_final_and_never_shows_the_key(status: int, fix: str) -> None:
    with (
        endpoint(lambda number, body: (status, {}, f"bad key {KEY}".encode())) as (url, calls),
        pytest.raises(UserError, match=f"status {status}") as caught,
    ):
        RemoteResponder(f"{url}#m", concurrency=1).respond(asked("x", "y", "z"), max_tokens=5)
    assert fix in caught.value.fix
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value)
    assert len(calls) == 1, "what waits is not asked any more"


def test_a_redirection_is_not_followed_with_the_key() -> None:
    with (
        endpoint(lambda number, body: completion("stolen")) as (other, stolen),
        endpoint(lambda number, body: (307, {"location": f"{other}/chat/completions"}, b"")) as (url, _),
        pytest.raises(UserError, match="status 307"),
    ):
        RemoteResponder(f"{url}#m").respond(asked("x"), max_tokens=5)
    assert not stolen


def test_no_answer_is_an_empty_one_and_no_question_none() -> None:
    with endpoint(lambda number, body: completion(None)) as (url, calls):
        assert RemoteResponder(f"{url}#m").respond(asked("x"), max_tokens=5) == [""]
        assert RemoteResponder(f"{url}#m").respond([], max_tokens=5) == []
    assert len(calls) == 1


def test_the_key_comes_from_the_environment_and_goes_nowhere_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEY not in repr(RemoteResponder("https://host/v1#m"))
    assert RemoteResponder("https://host/v1#m")._key == KEY
    assert RemoteResponder("http://host/v1#m")._key == ""
    monkeypatch.delenv("TUNESMITH_API_KEY")
    monkeypatch.setenv("OPENAI_API_KEY", "other")
    assert RemoteResponder("https://host/v1#m")._key == "other"


@pytest.mark.parametrize("reference", ["https://host/v1", "https:///v1#m", "https://me:secret@host/v1#m"])
def test_a_reference_without_model_or_host_or_with_a_user_is_refused(reference: str) -> None:
    with pytest.raises(UserError, match="no host and model") as caught:
        RemoteResponder(reference)
    assert "secret" not in str(caught.value)


def test_a_host_that_does_not_exist_is_told_without_a_traceback() -> None:
    with pytest.raises(RunError, match="ConnectError"):
        RemoteResponder("http://127.0.0.1:9/v1#m", wait=0.001, attempts=2).respond(asked("x"), max_tokens=5)


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}, (12, 3)),
        ({"prompt_tokens": 12}, (12, None)),
        ({"prompt_tokens": "12", "completion_tokens": -1}, (None, None)),
        ({"prompt_tokens": True, "completion_tokens": 1.5}, (None, None)),
        ([12, 3], (None, None)),
        (None, (None, None)),
    ],
)
def test_tokens_are_those_that_the_endpoint_tells(usage: Any, told: tuple[int | None, int | None]) -> None:
    with endpoint(lambda number, body: completion("yes", usage)) as (address, calls):
        (answer,) = RemoteResponder(f"{address}#m").answers(asked("?"), max_tokens=5)
    assert (answer.text, answer.read, answer.written) == ("yes", *told)
    assert "top_p" not in calls[0]


def test_answers_are_drawn_among_the_likeliest_tokens_only() -> None:
    with endpoint(lambda number, body: completion("yes")) as (address, calls):
        RemoteResponder(f"{address}#m", top_p=0.95).respond(asked("?"), max_tokens=5, temperature=0.8)
    assert calls[0]["top_p"] == 0.95
