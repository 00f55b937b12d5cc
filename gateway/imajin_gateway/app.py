"""The ASGI app: an endpoint for every HTTP rule of the contract, health, the OpenAPI file, and the pages."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from imajin_gateway.admission import Admission, allowed_hosts
from imajin_gateway.answers import compact
from imajin_gateway.around import Around
from imajin_gateway.body import Budget
from imajin_gateway.calls import Channels
from imajin_gateway.contract import bindings
from imajin_gateway.endpoint import Endpoint, by_path
from imajin_gateway.errors import ApiError
from imajin_gateway.health import HEALTH, Health
from imajin_gateway.openapi import openapi
from imajin_gateway.settings import GatewaySettings

EXPOSED = ["etag", "retry-after", "x-request-id"]
"""Headers that pages of other origins may read."""
POLICY = "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
INLINE = POLICY + "; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""For a page that is one file."""
KINDS = {".css": "text/css", ".js": "text/javascript"}


def make_app(settings: GatewaySettings, draining: asyncio.Event | None = None) -> Starlette:
    """The app. `draining` ends the event streams of watches when it is set."""
    stop = draining or asyncio.Event()
    budget = Budget(settings.max_buffered_bytes)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Channels belong to the event loop that serves, so they open with it.
        channels = Channels(settings.addresses.servers())
        health = Health(channels)
        app.router.routes.extend(
            Route(path, Endpoint(group, channels, settings, stop, budget), methods=None)
            for path, group in by_path(bindings()).items()
        )
        app.router.routes.extend(Route(path, health) for path in HEALTH)
        yield
        await channels.close()

    app = Starlette(
        lifespan=lifespan,
        exception_handlers={HTTPException: refused},
        routes=[Route("/openapi.json", openapi_file), *pages()],
        middleware=[
            *cors(settings.cors_origins),
            Middleware(
                Around,
                limit=settings.max_concurrent_requests,
                admission=Admission(allowed_hosts(settings.hosts, settings.bind[0]), settings.cors_origins),
            ),
        ],
    )
    app.router.default = nothing_here
    app.router.redirect_slashes = False
    return app


async def refused(request: Request, error: Exception) -> Response:
    """What the router refuses: another verb than a page has."""
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    allowed = headers.get("Allow", "")
    raise ApiError(
        "METHOD_NOT_ALLOWED",
        f"{request.method} is not for this path",
        details={"allowed": allowed},
        headers={"allow": allowed},
    ) from None


async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    """Any path that the contract does not name."""
    raise ApiError("NOT_FOUND", "there is nothing at this path; see /docs", details={"path": scope["path"][:200]})


def cors(origins: list[str]) -> list[Middleware]:
    """What lets pages of `origins` call the gateway; nothing where there are none."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
            max_age=600,
        )
    ]


@cache
def openapi_bytes() -> bytes:
    """The OpenAPI document."""
    return compact(openapi())


async def openapi_file(request: Request) -> Response:
    """GET /openapi.json."""
    return Response(await asyncio.to_thread(openapi_bytes), media_type="application/json")


def pages() -> list[Route]:
    """The studio with its parts, and the page of the API."""
    folder = files("imajin_gateway").joinpath("pages")
    parts = {
        f"/studio/{item.name}": item for item in folder.joinpath("studio").iterdir() if Path(item.name).suffix in KINDS
    }
    known = {"/": folder.joinpath("studio.html"), "/docs": folder.joinpath("docs.html"), **parts}
    return [Route(path, page(file)) for path, file in known.items()]


def page(file: Traversable) -> Callable[[Request], Awaitable[Response]]:
    """Answers with `file`, which needs nothing from elsewhere."""
    data = file.read_bytes()
    kind = KINDS.get(Path(file.name).suffix, "text/html")
    etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    headers = {
        "content-security-policy": INLINE if b"<style>" in data else POLICY,
        "cache-control": "no-cache",
        "etag": etag,
    }

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=kind, headers=headers)

    return answer
