"""The pages of one review, behind a gate."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException

from tunesmith.errors import NotFound, RunError, UserError
from tunesmith.evaluate.review.stored import Person, Review, person_of
from tunesmith.serve.review import desk, rate
from tunesmith.serve.review.gate import LOOPBACK, App, Gate
from tunesmith.store.open import Store

_STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class Served:
    """Where the pages are."""

    address: str
    """`http://127.0.0.1:8327`."""
    only_here: bool
    """Whether only this machine reaches it."""


def review_app(store: Store, review: Review, *, hosts: frozenset[str] | None = LOOPBACK) -> App:
    """The ASGI application of a review.

    Args:
        store: holds it.
        review: which one.
        hosts: names it may be called by; None for any.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    templates = _templates()
    page = {"title": review.rubric.title}

    @app.get("/rate/{token}", response_class=HTMLResponse)
    def rate_page(token: str, request: Request) -> str:
        person: Person = request.state.person
        return templates.get_template("rate.html.j2").render(page, person=person.name)

    @app.get("/desk/{token}", response_class=HTMLResponse)
    def desk_page(token: str, request: Request) -> str:
        person: Person = request.state.person
        return templates.get_template("desk.html.j2").render(page, person=person.name, run=review.run)

    names = frozenset(file.name for file in _STATIC.iterdir() if file.is_file())

    @app.get("/static/{name}")
    def static(name: str) -> FileResponse:
        if name not in names:
            raise HTTPException(404)
        return FileResponse(_STATIC / name, media_type=_MEDIA[name.rpartition(".")[2]])

    app.include_router(rate.router(store, review))
    app.include_router(desk.router(store, review))
    _tell_errors(app)
    closed = templates.get_template("closed.html.j2").render()
    return Gate(app, partial(person_of, store, review), names, closed, hosts)


_MEDIA = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("tunesmith.serve.review"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _tell_errors(app: FastAPI) -> None:
    """Every error as one sentence, in `what`."""

    def told(status: int, what: str) -> JSONResponse:
        return JSONResponse({"what": what}, status_code=status)

    @app.exception_handler(NotFound)
    def not_found(_: Request, error: NotFound) -> JSONResponse:
        return told(404, error.what)

    @app.exception_handler(UserError)
    def wrong(_: Request, error: UserError) -> JSONResponse:
        return told(422, error.what)

    @app.exception_handler(RunError)
    def busy(_: Request, error: RunError) -> JSONResponse:
        return told(503, error.what)

    @app.exception_handler(RequestValidationError)
    def misshapen(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part)[:40] for part in first["loc"][1:])
        return told(422, f"{where}: {first['msg']}"[:300])

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> JSONResponse:
        return told(error.status_code, "not found" if error.status_code == 404 else "not so")


def serve(store: Store, review: Review, *, host: str, port: int, ready: Callable[[Served], None]) -> None:
    """Serves a review until the process is told to stop.

    Args:
        store: holds it.
        review: which one.
        host: the address to listen on.
        port: 0 takes a free one.
        ready: called once the port is taken.

    Raises:
        UserError: the address cannot be listened on.
    """
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(
            f"cannot listen: {error.strerror}", where=f"{host}:{port}", fix="name another --port or --host"
        ) from None
    only_here = host in LOOPBACK
    settings: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False, "ws": "none"}
    app = review_app(store, review, hosts=LOOPBACK if only_here else None)
    config = uvicorn.Config(app, limit_concurrency=256, timeout_graceful_shutdown=3, **settings)
    shown = f"[{host}]" if ":" in host else host
    ready(Served(f"http://{shown}:{listening.getsockname()[1]}", only_here))
    with suppress(KeyboardInterrupt):  # the way to stop it; whether uvicorn hands it on is a matter of moments
        uvicorn.Server(config).run(sockets=[listening])
