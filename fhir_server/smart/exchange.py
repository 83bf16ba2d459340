"""HTTP for the routes: forms, cookies, addresses, JSON and errors, on Starlette's request and response."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.faults import Fault
from fhir_server.smart.house import House
from fhir_server.smart.texts import preferred
from fhir_server.smart.view import SAFE

MAX_FORM: Final = 64 * 1024
MAX_JSON: Final = 256 * 1024
SESSION: Final = "fhir_session"
BROWSER: Final = "fhir_browser"
LANGUAGE: Final = "fhir_lang"
_YEAR: Final = 365 * 24 * 3600


class TooLarge(Exception):
    """The body is larger than any honest one."""


async def body_of(request: Request, limit: int) -> bytes:
    """Read a body of at most ``limit`` bytes; raises :class:`TooLarge`."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge
    return body


async def form(request: Request) -> list[tuple[str, str]]:
    """Return the fields of a form as pairs; [] for anything but application/x-www-form-urlencoded.

    What is not UTF-8 becomes the replacement sign, which no check of ours lets through.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    raw = await body_of(request, MAX_FORM)
    if kind != "application/x-www-form-urlencoded":
        return []
    return pairs_of(raw.decode("utf-8", "replace"))


def pairs_of(query: str) -> list[tuple[str, str]]:
    """Split a query or form into names and values."""
    return parse_qsl(query, keep_blank_values=True, encoding="utf-8", errors="replace")


async def tree(request: Request) -> dict[str, Any] | None:
    """Return the JSON object in the body; None when there is none."""
    try:
        found = msgspec.json.decode(await body_of(request, MAX_JSON))
    except (ValueError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None


def json(status: int, body: Any, headers: list[tuple[str, str]] | None = None) -> Response:
    """Return a JSON response; ``headers`` come as they are."""
    response = Response(msgspec.json.encode(body), status, media_type="application/json")
    response.headers["x-content-type-options"] = "nosniff"
    for name, value in headers or [("Cache-Control", "no-store")]:
        if name.lower() != "content-type":
            response.headers[name] = value
    return response


def fault_json(fault: Fault) -> Response:
    """Return a refusal of the JSON endpoints that OAuth does not define: launches, administration."""
    body = {"error": fault.kind.code, "error_description": fault.diagnostics}
    if fault.issues and fault.issues[0].expression:
        body["error_expression"] = fault.issues[0].expression[0]
    return json(fault.kind.status, body, [*fault.headers, ("Cache-Control", "no-store")])


def redirect(to: str) -> Response:
    """Send the browser to another address with GET. RFC 9110 15.4.4"""
    return Response(status_code=303, headers={**SAFE, "location": to})


def address_of(request: Request) -> str:
    """Return the network address of the sender, as the connection tells it."""
    return request.client.host if request.client else ""


def language(request: Request) -> str:
    """Return the language of the pages for this browser."""
    chosen = request.query_params.get("lang") or request.cookies.get(LANGUAGE, "")
    return preferred(request.headers.get("accept-language", ""), chosen)


def auth_path(house: House) -> str:
    """Return the path below which the pages lie."""
    return urlsplit(house.site.at("")).path.rstrip("/")


def set_cookie(house: House, response: Response, name: str, value: str) -> None:
    """Set a cookie for the pages alone: no script reads it, no other site's form sends it."""
    response.set_cookie(
        name,
        value,
        max_age=_YEAR if name == LANGUAGE else None,
        path=auth_path(house) or "/",
        secure=house.site.base.startswith("https:"),
        httponly=True,
        samesite="lax",
    )


def forget_cookie(house: House, response: Response, name: str) -> None:
    """Remove a cookie."""
    response.delete_cookie(name, path=auth_path(house) or "/", httponly=True, samesite="lax")
