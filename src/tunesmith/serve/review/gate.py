"""What stands before every route of a review: nothing passes that is not expected.

A request is let through when its path is one of a few, its method fits, and its token is that of somebody whose role
the path is for. Pages carry the token in their address, which is the link; everything else carries it in a header,
which no other site can make a browser send. There are no cookies, so there is nothing to forge a request with.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

from tunesmith.evaluate.review.links import hashed
from tunesmith.evaluate.review.stored import Person, Role

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 65_536
"""Bytes of a request; an answer with the longest note has 20,000."""
SLOWEST_BODY = 10.0
"""Seconds in which a body must have come."""
LONGEST_PATH = 300
TOKEN_HEADER = b"x-review-token"

PAGES: dict[str, Role] = {"/rate/": "rater", "/desk/": "adjudicator"}
"""Beginnings of pages, which the token follows -> whose they are."""
CALLS: dict[str, Role] = {"/api/rate/": "rater", "/api/desk/": "adjudicator"}
"""Beginnings of calls -> whose they are."""
STATIC = "/static/"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"x-robots-tag", b"noindex"),
    (b"cache-control", b"no-store"),
]


_PORT = re.compile(r":\d*$")


class Refused(NamedTuple):
    """Why a request goes no further."""

    status: int
    what: str


class Gate:
    """An ASGI application around another.

    Args:
        app: what is behind the gate.
        whose: told the sha256 of a token, says whose it is now; links are given and taken back meanwhile.
        static: names of files that anybody may have.
        closed: the page for a link that opens nothing.
        hosts: names the server may be called by; None for any.
    """

    def __init__(
        self,
        app: App,
        whose: Callable[[str], Person | None],
        static: frozenset[str],
        closed: str,
        hosts: frozenset[str] | None = LOOPBACK,
    ) -> None:
        self.app, self.whose, self.static, self.closed, self.hosts = app, whose, static, closed, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no other protocol is spoken here; the server closes the connection

        async def sending(event: Event) -> None:
            if event["type"] == "http.response.start":
                event["headers"] = [*event.get("headers", []), *HEADERS]
            await send(event)

        headers = {name.lower(): value for name, value in scope["headers"]}
        found = self._admit(scope, headers)
        if isinstance(found, Refused):
            await self._refuse(scope, found, sending)
            return
        body = await _body(headers, receive)
        if isinstance(body, Refused):
            await self._refuse(scope, body, sending)
            return
        scope["state"] = {**scope.get("state", {}), "person": found}
        await self.app(scope, _replayed(body, receive), sending)

    def _admit(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Person | Refused | None:
        path, method = scope["path"], scope["method"]
        host = _PORT.sub("", headers.get(b"host", b"").decode("latin-1"))
        if self.hosts is not None and host.lower() not in self.hosts:
            return Refused(421, "this server is not called by that name")
        if len(path) > LONGEST_PATH:
            return Refused(414, "the address is too long")
        if path.startswith(STATIC):
            known = path.removeprefix(STATIC) in self.static and method in ("GET", "HEAD")
            return None if known else Refused(404, "not found")
        for start, role in PAGES.items():
            if path.startswith(start):
                return self._whose(path.removeprefix(start), role) if method == "GET" else Refused(405, "not so")
        for start, role in CALLS.items():
            if path.startswith(start):
                return self._call(method, headers, role)
        return Refused(404, "not found")

    def _call(self, method: str, headers: Mapping[bytes, bytes], role: Role) -> Person | Refused:
        if method not in ("GET", "PUT"):
            return Refused(405, "not so")
        if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
            return Refused(403, "another site may not call this one")
        if (
            method == "PUT"
            and headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json"
        ):
            return Refused(415, "send application/json")
        return self._whose(headers.get(TOKEN_HEADER, b"").decode("latin-1"), role)

    def _whose(self, token: str, role: Role) -> Person | Refused:
        person = self.whose(hashed(token))
        if person is None:
            return Refused(401, "this link opens nothing")
        if person.role != role:
            return Refused(403, "this link does not open that")
        return person

    async def _refuse(self, scope: Scope, why: Refused, send: Send) -> None:
        is_page = any(scope["path"].startswith(start) for start in PAGES)
        kind, body = (b"text/html", self.closed) if is_page else (b"application/json", json.dumps({"what": why.what}))
        content = body.encode()
        length = (b"content-length", str(len(content)).encode())
        headers = [(b"content-type", kind + b"; charset=utf-8"), length, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": why.status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


async def _body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes | Refused:
    """The whole body, which is small or refused."""
    if int(headers.get(b"content-length", b"0") or 0) > LARGEST_BODY:
        return Refused(413, f"a request has at most {LARGEST_BODY:,} bytes")
    read: bytes = b""
    try:
        async with asyncio.timeout(SLOWEST_BODY):
            while True:
                event = await receive()
                read += event.get("body", b"")
                if len(read) > LARGEST_BODY:
                    return Refused(413, f"a request has at most {LARGEST_BODY:,} bytes")
                if event["type"] != "http.request" or not event.get("more_body"):
                    return read
    except TimeoutError:
        return Refused(408, "the request took too long")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read already, then whatever comes."""
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Event:
        return first.pop() if first else await receive()

    return again
