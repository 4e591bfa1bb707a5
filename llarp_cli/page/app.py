"""The page's server: a session, and what a visitor does in it.

    GET  /                   the page; /page.css, /page.js
    GET  /homes, /state      what there is to choose from; what the page shows
    POST /say {"text"}       ask for something
    POST /use {"skill"}      use a skill by hand
    POST /step               let the policy use one
    POST /undo, /reset       take back the last event, or all
    POST /home {"name", "seed"}

Each POST answers with the state after it, or with {"error", "hint"}, one line each. All who open the page share the
session; one thread does what they ask, one thing after the other.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.evaluation.session import Session
from llarp_cli.page.state import homes, state
from llarp_cli.rearrangement.skills import SKILLS

FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

MAX_BODY = 16_384
"""Bytes of a request; the longest sentence has 1,000 letters."""

MAX_SEED = 2**32 - 1


def make_app(session: Session, *, size: int = 448, hosts: frozenset[str] | None = None) -> Starlette:
    """The page around a session.

    Args:
        session: what is played.
        size: side of the pictures, pixels.
        hosts: names by which the page may be addressed; None for any. A page that only this machine may see is not
            shown under another name either, or any web site could give itself one that leads here.
    """
    worker = ThreadPoolExecutor(1, thread_name_prefix="play")

    async def obey(do: Callable[[], Any]) -> JSONResponse:
        def work() -> dict[str, Any]:
            do()
            return state(session, size)

        try:
            return JSONResponse(await asyncio.get_running_loop().run_in_executor(worker, work), headers=HEADERS)
        except LlarpError as problem:
            return _refusal(problem)
        except Exception as error:
            print(f"error: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return _refusal(LlarpError(f"{type(error).__name__}: {error}"), 500)

    async def show_state(request: Request) -> Response:
        return await obey(lambda: None)

    async def show_homes(request: Request) -> Response:
        return JSONResponse({"homes": homes(session.world), "seed": session.seed % (MAX_SEED + 1)}, headers=HEADERS)

    def post(path: str, act: Callable[[dict[str, Any]], Any]) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                wanted = await _body(request)
            except UsageProblem as problem:
                return _refusal(problem)
            except ClientDisconnect:
                return Response(status_code=400)
            return await obey(lambda: act(wanted))

        return Route(path, endpoint, methods=["POST"])

    return Starlette(
        routes=[
            *(Route(path, _file(*named)) for path, named in FILES.items()),
            Route("/homes", show_homes),
            Route("/state", show_state),
            post("/say", lambda wanted: session.say(_text(wanted, "text"))),
            post("/use", lambda wanted: session.use(_number(wanted, "skill", len(SKILLS) - 1))),
            post("/step", lambda wanted: session.step()),
            post("/undo", lambda wanted: session.undo()),
            post("/reset", lambda wanted: session.reset()),
            post("/home", lambda wanted: session.visit(_text(wanted, "name"), _number(wanted, "seed", MAX_SEED))),
        ],
        middleware=[] if hosts is None else [Middleware(OnlyUnder, hosts=hosts)],
    )


class OnlyUnder:
    """Answers only requests that are addressed to one of some hosts.

    Args:
        app: what is behind it.
        hosts: names and addresses, without port.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]):
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._app
        if scope["type"] == "http" and Request(scope).url.hostname not in self._hosts:
            answer = PlainTextResponse("this page is not served under that name", 421)
        await answer(scope, receive, send)


def _file(name: str, kind: str) -> Callable[[Request], Response]:
    content = resources.files("llarp_cli.page").joinpath(name).read_text("utf-8")

    def endpoint(request: Request) -> Response:
        return Response(content, media_type=kind, headers=HEADERS)

    return endpoint


async def _body(request: Request) -> dict[str, Any]:
    """What a visitor asks for.

    Raises:
        UsageProblem: it is no small JSON object. Its type must be named: a form on some web site cannot do that.
    """
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise UsageProblem("a request is JSON, and says so", "Content-Type: application/json")
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > MAX_BODY:
            raise UsageProblem(f"a request has at most {MAX_BODY:,} bytes")
    try:
        wanted = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        wanted = None
    if not isinstance(wanted, dict):
        raise UsageProblem("the request is no JSON object")
    return wanted


def _text(wanted: dict[str, Any], key: str) -> str:
    value = wanted.get(key)
    if not isinstance(value, str):
        raise UsageProblem(f"'{key}' should be a text")
    return value


def _number(wanted: dict[str, Any], key: str, most: int) -> int:
    value = wanted.get(key)
    if type(value) is not int or not 0 <= value <= most:
        raise UsageProblem(f"'{key}' should be a whole number from 0 to {most:,}")
    return value


def _refusal(problem: LlarpError, status: int = 400) -> JSONResponse:
    return JSONResponse({"error": problem.message, "hint": problem.hint or ""}, status, headers=HEADERS)
