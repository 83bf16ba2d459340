"""The authorization server as an ASGI application: which path is answered by what.

https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_server.faults import Fault, Kind
from fhir_server.smart.administration import Administration
from fhir_server.smart.browsing import Browsing
from fhir_server.smart.exchange import TooLarge, address_of, fault_json, form, json, tree
from fhir_server.smart.grants import Answer
from fhir_server.smart.house import House
from fhir_server.smart.journal import Who
from fhir_server.smart.metadata import openid_configuration, smart_configuration
from fhir_server.smart.passwords import PasswordPage
from fhir_server.smart.register import register
from fhir_server.smart.view import style

STYLE: dict[str, str] = {
    "color_background": "#ffffff",
    "color_error": "#a4161a",
    "color_highlight": "#0b5cad",
    "color_modal_backdrop": "",
    "color_success": "#1d6f42",
    "color_text": "#16202b",
    "dim_border_radius": "8px",
    "dim_font_size": "16px",
    "dim_spacing_size": "16px",
    "font_family_body": "system-ui, 'PingFang SC', 'Microsoft YaHei', sans-serif",
    "font_family_heading": "system-ui, 'PingFang SC', 'Microsoft YaHei', sans-serif",
}
"""https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#styling"""

Handler = Callable[[Request], Awaitable[Response]]


def application(house: House, base_path: str) -> Starlette:
    """Return the application; ``base_path`` is the path of the FHIR base, below which everything lies."""
    routes = Endpoints(house)
    browsing = Browsing(house)
    administration = Administration(house, browsing)
    table: list[tuple[str, Handler, list[str]]] = [
        (".well-known/smart-configuration", routes.smart_configuration, ["GET"]),
        (".well-known/openid-configuration", routes.openid_configuration, ["GET"]),
        ("auth/jwks", routes.jwks, ["GET"]),
        ("auth/style.css", routes.style_sheet, ["GET"]),
        ("auth/style.json", routes.style_json, ["GET"]),
        ("auth/token", routes.token, ["POST"]),
        ("auth/introspect", routes.introspect, ["POST"]),
        ("auth/revoke", routes.revoke, ["POST"]),
        ("auth/register", routes.register, ["POST"]),
        ("auth/authorize", browsing.authorize, ["GET", "POST"]),
        ("auth/flow/{flow}", browsing.show, ["GET"]),
        ("auth/flow/{flow}", browsing.act, ["POST"]),
        ("auth/external", browsing.returned, ["GET"]),
        ("auth/launch", administration.launch, ["POST"]),
        ("auth/apps", administration.apps, ["GET", "POST"]),
        ("auth/logout", administration.logout, ["GET", "POST"]),
        ("auth/password", PasswordPage(house, browsing).password, ["GET", "POST"]),
        ("auth/admin/clients", administration.clients, ["GET", "POST"]),
        ("auth/admin/clients/{id}", administration.client, ["DELETE"]),
        ("auth/admin/users", administration.users, ["GET", "POST"]),
        ("auth/admin/users/{id}", administration.user, ["DELETE", "PATCH"]),
    ]
    return Starlette(
        routes=[Route(f"{base_path}/{path}", handler, methods=methods) for path, handler, methods in table],
        exception_handlers={HTTPException: _not_served, TooLarge: _too_large, Fault: _fault},
    )


class Endpoints:
    """What machines ask for: metadata, keys, tokens."""

    def __init__(self, house: House) -> None:
        self._house = house
        registration = house.settings.registration
        self._smart = smart_configuration(house.site, registration=registration)
        self._openid = openid_configuration(house.site, registration=registration)

    async def smart_configuration(self, request: Request) -> Response:
        """Answer ``.well-known/smart-configuration``: JSON whatever Accept says."""
        return _published(request, self._smart)

    async def openid_configuration(self, request: Request) -> Response:
        """Answer ``.well-known/openid-configuration``."""
        return _published(request, self._openid)

    async def jwks(self, request: Request) -> Response:
        """Answer with the public keys."""
        await self._house.keys.refresh()
        return _published(request, self._house.keys.public())

    async def style_sheet(self, request: Request) -> Response:
        """Answer with the style sheet of the pages."""
        del request
        headers = {"cache-control": "public, max-age=3600", "x-content-type-options": "nosniff"}
        return Response(style(), media_type="text/css", headers=headers)

    async def style_json(self, request: Request) -> Response:
        """Answer with the colours and fonts that apps may take on (``smart_style_url``)."""
        return _published(request, STYLE)

    async def token(self, request: Request) -> Response:
        """Answer the token endpoint."""
        pairs, authorization = await form(request), _authorization(request)
        return _answer(await self._house.server.token(pairs, authorization, address_of(request)))

    async def revoke(self, request: Request) -> Response:
        """Answer the revocation endpoint."""
        pairs, authorization = await form(request), _authorization(request)
        return _answer(await self._house.server.revoke(pairs, authorization, address_of(request)))

    async def introspect(self, request: Request) -> Response:
        """Answer the introspection endpoint, for clients and for resource servers with a bearer token."""
        authorization = _authorization(request)
        allowed = False
        if authorization.lower().startswith("bearer "):
            try:
                await self._house.keys.refresh()
                actor = await self._house.bearer.actor(authorization.encode("latin-1"))
            except Fault as fault:
                return fault_json(fault)
            client = await self._house.shelves.clients.value(actor.client)
            if client is None or not client.introspects:
                return json(403, {"error": "insufficient_scope"})
            allowed = True
        pairs = await form(request)
        return _answer(await self._house.server.introspect(pairs, authorization, may_introspect=allowed))

    async def register(self, request: Request) -> Response:
        """Register a client, if the house lets anybody do so."""
        if not self._house.settings.registration:
            return json(404, {"error": "not_found", "error_description": "Ask an administrator to register."})
        metadata = await tree(request)
        if metadata is None:
            return json(400, {"error": "invalid_client_metadata", "error_description": "Send a JSON object."})
        status, body = await register(self._house.shelves, metadata, self._house.clock())
        if status == 201:
            who, target = Who(address=address_of(request)), f"client {body['client_id']}"
            details = (("scope", body["scope"]), ("registration", "dynamic"))
            await self._house.journal.tell("client-add", who, target, details=details)
        return json(status, body)


def _published(request: Request, body: dict[str, Any]) -> Response:
    del request
    return json(200, body, [("Cache-Control", "public, max-age=300")])


def _authorization(request: Request) -> str:
    return request.headers.get("authorization", "")


def _answer(answer: Answer) -> Response:
    status, body, headers = answer
    return json(status, body, headers)


def mount_path(base: str) -> str:
    """Return the path of the FHIR base in an address."""
    return urlsplit(base).path.rstrip("/")


async def _not_served(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        fault = Fault(Kind.METHOD_NOT_ALLOWED, "This path does not answer that method.")
        return fault_json(Fault(fault.kind, fault.diagnostics, headers=tuple((error.headers or {}).items())))
    return fault_json(Fault(Kind.NOT_FOUND, "Nothing is served here."))


async def _too_large(request: Request, error: Exception) -> Response:
    del request, error
    return fault_json(Fault(Kind.TOO_LARGE, "The body is larger than any that is needed here."))


async def _fault(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Fault)
    return fault_json(error)
