"""A model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

import httpx

from tunesmith.errors import RunError, UserError
from tunesmith.records import Message

KEYS = ("TUNESMITH_API_KEY", "OPENAI_API_KEY")
"""Environment variables that may hold the key, the first one found."""
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses that may be others a moment later."""
_LONGEST_WAIT = 60.0
_LARGEST = 8_000_000
"""Characters of a reply; more is no answer."""


def is_remote(reference: str) -> bool:
    """Whether a reference names an endpoint."""
    return reference.startswith(("https://", "http://"))


class Answer(NamedTuple):
    """What an endpoint said."""

    text: str
    """Empty where the model said nothing."""
    read: int | None
    """Tokens of the question, as the endpoint counts them; None where it does not say."""
    written: int | None
    """Tokens of the answer."""


class _Passing(Exception):
    """A call failed in a way that may not last."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


class _Failure:
    """The first failure of several calls, after which the others give up."""

    def __init__(self) -> None:
        self.happened = threading.Event()
        self.first: BaseException | None = None
        self._lock = threading.Lock()

    def set(self, error: BaseException) -> None:
        with self._lock:
            self.first = self.first or error
        self.happened.set()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tells the others of whatever fails in the block."""
        try:
            yield
        except Exception as error:
            self.set(error)
            raise


@dataclass
class RemoteResponder:
    """Answers through `POST BASE/chat/completions`. Calls that fail in passing are made again, later each time.

    The key comes from the environment, goes to that host only, by HTTPS or to this machine, and is never shown.

    Raises:
        UserError: the reference names no model, or no host.
    """

    reference: str
    """`https://host/v1#model`."""
    concurrency: int = 8
    """Calls at the same time."""
    attempts: int = 6
    """How often a call is made before it is given up."""
    wait: float = 1.0
    """Seconds before the second attempt; doubled each time, within a minute."""
    timeout: float = 120.0
    """Seconds a call may take."""
    top_p: float = 1.0
    """Answers are drawn among the fewest likeliest tokens whose probabilities sum to this."""

    def __post_init__(self) -> None:
        self.url, _, self.model = self.reference.partition("#")
        parts = urlsplit(self.url)
        if not self.model or not parts.hostname or parts.username:
            raise UserError(
                "the endpoint has no host and model, or names a user",
                where=parts.hostname or "model",
                fix="write https://host/v1#model, and put the key into the environment as TUNESMITH_API_KEY",
            )
        self.host = parts.hostname
        key = next((os.environ[name] for name in KEYS if os.environ.get(name)), "")
        self._key = key if parts.scheme == "https" or _is_here(self.host) else ""

    def respond(
        self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """One answer for each conversation, in order; an empty one where the model said nothing.

        Raises:
            UserError, RunError: as `answers`.
        """
        made = self.answers(conversations, max_tokens=max_tokens, temperature=temperature, seed=seed)
        return [answer.text for answer in made]

    def answers(
        self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[Answer]:
        """One answer for each conversation, in order, with the tokens that the endpoint charges for.

        Raises:
            UserError: the endpoint refuses what is asked, or the key.
            RunError: it cannot be reached, or goes on failing.
        """
        if not conversations:
            return []
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx.Limits(max_connections=self.concurrency)
        failed = _Failure()
        with (
            httpx.Client(headers=headers, timeout=self.timeout, limits=limits, follow_redirects=False) as client,
            ThreadPoolExecutor(self.concurrency, thread_name_prefix="ask") as pool,
        ):

            def answer(turns: Sequence[Message]) -> Answer:
                with failed.told():
                    return self._answer(client, self._body(turns, max_tokens, temperature, seed), failed)

            asked = [pool.submit(answer, turns) for turns in conversations]
            try:
                return [each.result() for each in asked]
            except BaseException as error:
                failed.set(error)  # those that wait for another attempt give up too
                pool.shutdown(wait=False, cancel_futures=True)
                raise (failed.first or error) from None

    def _body(self, turns: Sequence[Message], max_tokens: int, temperature: float, seed: int) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in turns],
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            **({"top_p": self.top_p} if self.top_p < 1 else {}),
        }

    def _answer(self, client: httpx.Client, body: dict[str, Any], others: _Failure) -> Answer:
        what = "another call failed"
        for attempt in range(self.attempts):
            if others.happened.is_set():
                break
            try:
                return self._asked_once(client, body)
            except _Passing as failure:
                what = str(failure)
                # Spread, so that calls that failed together do not come back together.
                pause = min(_LONGEST_WAIT, self.wait * 2**attempt) * (0.5 + random.random())
                if attempt + 1 < self.attempts:
                    others.happened.wait(pause if failure.wait is None else min(_LONGEST_WAIT, failure.wait))
        raise RunError(
            f"the endpoint does not answer: {what}, {self.attempts} times",
            where=self.host,
            fix="try again later, or check its address; what was done before is kept",
        )

    def _asked_once(self, client: httpx.Client, body: dict[str, Any]) -> Answer:
        ends = time.monotonic() + self.timeout
        try:
            with client.stream("POST", f"{self.url.rstrip('/')}/chat/completions", json=body) as reply:
                received = bytearray()
                for piece in reply.iter_bytes():
                    received += piece
                    if len(received) > _LARGEST or time.monotonic() > ends:
                        raise _Passing("the reply is endless")
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _Passing(type(error).__name__) from None
        except httpx.InvalidURL as error:
            raise UserError(
                f"this is no address: {error}", where=self.host, fix="write https://host/v1#model"
            ) from None
        if reply.status_code in _PASSING:
            raise _Passing(f"status {reply.status_code}", _retry_after(reply))
        if reply.status_code != 200:
            self._refuse(reply.status_code, received.decode("utf-8", "replace"))
        return _said(bytes(received))

    def _refuse(self, status: int, text: str) -> NoReturn:
        fixes = {
            401: f"put a valid key into the environment as {KEYS[0]}",
            403: f"put a key that may use {self.model!r} into the environment as {KEYS[0]}",
            404: "check the address and the model's name: https://host/v1#model",
        }
        if status in (401, 403) and not self._key and any(os.environ.get(name) for name in KEYS):
            fixes[status] = "use https: the key is not sent to other machines without encryption"
        shown = text.replace(self._key, "***") if self._key else text
        raise UserError(
            f"the endpoint refuses with status {status}: {' '.join(shown.split())[:300]}",
            where=self.host,
            fix=fixes.get(status, "check the model's name and settings against what the endpoint takes"),
        )


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _retry_after(reply: httpx.Response) -> float | None:
    try:
        return max(0.0, float(reply.headers["retry-after"]))
    except (KeyError, ValueError):  # left out, or a date
        return None


def _said(received: bytes) -> Answer:
    try:
        reply = json.loads(received)
        said = reply["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise _Passing("a reply that is no chat completion") from None
    if said is not None and not isinstance(said, str):
        raise _Passing("a reply that is no chat completion")
    usage = reply.get("usage")
    return Answer(said or "", _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def _count(usage: Any, name: str) -> int | None:
    """A number of tokens; None where there is none, or what stands there is no such number."""
    said = usage.get(name) if isinstance(usage, dict) else None
    return said if isinstance(said, int) and not isinstance(said, bool) and said >= 0 else None
