"""The token, introspection and revocation endpoints: preload, decide, commit.

https://www.rfc-editor.org/rfc/rfc6749#section-3.2, RFC 7662 and RFC 7009
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError, OAuth2Error

from fhir_server.faults import Fault
from fhir_server.smart.assertions import ASSERTION_TYPE, Peek, key_for, peek
from fhir_server.smart.desk import Desk, FormRequest, form_of
from fhir_server.smart.endpoints import Introspection, Revocation
from fhir_server.smart.grants import NO_STORE, Answer, Decider, Lifetimes
from fhir_server.smart.journal import Journal
from fhir_server.smart.jwks import KeySets
from fhir_server.smart.mint import digest
from fhir_server.smart.sessions import Sessions
from fhir_server.smart.shelf import Shelves
from fhir_server.smart.telling import tell_revocation, tell_token
from fhir_server.smart.tokens import Tokens, revocation_keys
from fhir_server.store.api import Stale

_TRIES: Final = 4

Decide = Callable[[Decider, FormRequest], Answer]
Tell = Callable[[dict[str, str], Desk | None, int, Any], Awaitable[None]]
"""Writes down what became of a request: its form, its desk if it came so far, status and body."""


class Server:
    """The endpoints that clients call; pages are in ``flow``."""

    def __init__(
        self,
        shelves: Shelves,
        tokens: Tokens,
        key_sets: KeySets,
        sessions: Sessions,
        lifetimes: Lifetimes,
        journal: Journal,
    ) -> None:
        self._shelves = shelves
        self._tokens = tokens
        self._key_sets = key_sets
        self._sessions = sessions
        self._lifetimes = lifetimes
        self._journal = journal

    async def token(self, pairs: list[tuple[str, str]], authorization: str, address: str = "") -> Answer:
        """Answer the token endpoint: status, JSON body, headers. ``address``: whence the request comes."""
        return await self._run(pairs, authorization, _token, tell=partial(tell_token, self._journal, address))

    async def revoke(self, pairs: list[tuple[str, str]], authorization: str, address: str = "") -> Answer:
        """Answer the revocation endpoint."""
        tell = partial(tell_revocation, self._journal, address)
        return await self._run(pairs, authorization, _revoke, tell=tell)

    async def introspect(
        self, pairs: list[tuple[str, str]], authorization: str, *, may_introspect: bool
    ) -> Answer:
        """Answer the introspection endpoint. ``may_introspect``: a bearer token showed that it may."""
        return await self._run(pairs, authorization, _introspect, may_introspect=may_introspect)

    async def _run(
        self,
        pairs: list[tuple[str, str]],
        authorization: str,
        decide: Decide,
        *,
        may_introspect: bool = False,
        tell: Tell | None = None,
    ) -> Answer:
        form: dict[str, str] = {}
        desk: Desk | None = None
        try:
            form = form_of(pairs)
            client_id, seen = _claimed(form, authorization)
            if not client_id and (client_id := await self._client_of_refresh(form)):
                form["client_id"] = client_id
            request = FormRequest("POST", form, authorization)
            for _ in range(_TRIES):
                desk = await self._desk(form, client_id, seen)
                desk.may_introspect = may_introspect
                status, body, headers = decide(Decider(desk, self._lifetimes), request)
                changes = desk.always + (desk.written if status < 400 else [])
                try:
                    if changes:
                        await self._shelves.apply(*changes)
                except Stale:
                    # Somebody used the same code, token or jti at the same moment: decide again.
                    continue
                break
            else:
                raise InvalidRequestError("Too many requests use the same token at once.")
        except OAuth2Error as error:
            status, body, headers = error()
        if tell is not None:
            await tell(form, desk, status, body)
        return status, body, _with_no_store(headers)

    async def _client_of_refresh(self, form: dict[str, str]) -> str:
        """Return the public client that a refresh token was issued to; "" for any other request.

        RFC 6749 section 6 does not ask a client without credentials to name itself, and the SMART client for
        browsers (npm fhirclient) does not; the token itself says whose it is.
        """
        if form.get("grant_type") != "refresh_token":
            return ""
        held = await self._shelves.refreshes.get(digest(form.get("refresh_token", "")))
        client = await self._shelves.clients.value(held.value.client) if held else None
        return client.id if client and client.method == "none" else ""

    async def _desk(self, form: dict[str, str], client_id: str, seen: Peek | None) -> Desk:
        """Load what the request needs: nothing is asked of the store after this."""
        shelves = self._shelves
        await self._tokens.keys.refresh()
        desk = Desk(shelves, self._tokens, self._tokens.clock())
        desk.client = await shelves.clients.value(client_id) if client_id else None
        if desk.client and seen:
            await self._load_key(desk, seen)
        if "code" in form:
            desk.code = await shelves.codes.get(digest(form["code"]))
        token = form.get("refresh_token") or form.get("token", "")
        if token:
            desk.refresh = await shelves.refreshes.get(digest(token))
        grant = desk.code.value.grant if desk.code else desk.refresh.value.grant if desk.refresh else ""
        desk.grant = await shelves.grants.get(grant) if grant else None
        if "token" in form and desk.refresh is None:
            await self._load_claims(desk, token)
        if desk.grant:
            held = desk.grant.value
            desk.user = await shelves.users.value(held.user)
            desk.session_alive = not held.session or await self._sessions.alive(held.session)
        return desk

    async def _load_claims(self, desk: Desk, token: str) -> None:
        claims = self._tokens.read(token)
        if claims and not await self._shelves.revoked.holds(*revocation_keys(str(claims["jti"]))):
            desk.claims = claims
            grant = str(claims["jti"]).partition(".")[0]
            desk.grant = await self._shelves.grants.get(grant)

    async def _load_key(self, desk: Desk, seen: Peek) -> None:
        assert desk.client is not None
        desk.jti_used = await self._shelves.jtis.holds(f"{desk.client.id} {seen.jti}")
        if seen.jku and seen.jku != desk.client.jwks_uri:
            raise InvalidClientError(description="The jku of the assertion is not the registered JWKS URL.")
        jwks = desk.client.jwks
        if desk.client.jwks_uri:
            try:
                jwks = await self._key_sets.at(desk.client.jwks_uri, seen.kid)
            except Fault:
                raise InvalidClientError(
                    description="The JWKS of the client cannot be fetched from its registered URL."
                ) from None
        desk.key = key_for(jwks, seen) if jwks else None


def _token(decider: Decider, request: FormRequest) -> Answer:
    answer: Answer = decider.create_token_response(request)
    return answer


def _introspect(decider: Decider, request: FormRequest) -> Answer:
    decider.register_endpoint(Introspection)
    answer: Answer = decider.create_endpoint_response("introspection", request)
    return answer


def _revoke(decider: Decider, request: FormRequest) -> Answer:
    decider.register_endpoint(Revocation)
    answer: Answer = decider.create_endpoint_response("revocation", request)
    return answer


def _claimed(form: dict[str, str], authorization: str) -> tuple[str, Peek | None]:
    """Return who the client says it is, and what its assertion says; InvalidClientError when that is unclear.

    RFC 6749 2.3: not more than one way to authenticate in a request.
    """
    ways = []
    seen = None
    if authorization.lower().startswith("basic "):
        ways.append(_basic_id(authorization))
    if "client_assertion" in form or "client_assertion_type" in form:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise InvalidRequestError("This 'client_assertion_type' is not known.")
        seen = peek(form.get("client_assertion", ""))
        if seen is None:
            raise InvalidClientError(description="The client assertion is no JWT with kid, sub and jti.")
        ways.append(seen.client)
    if "client_secret" in form:
        ways.append(form.get("client_id", ""))
    if len(ways) > 1:
        raise InvalidRequestError("A client authenticates in one way only.")
    claimed = ways[0] if ways else form.get("client_id", "")
    if form.get("client_id", claimed) != claimed:
        raise InvalidClientError(description="The client id is not the one that authenticates.")
    return claimed, seen


def _basic_id(authorization: str) -> str:
    try:
        text = base64.b64decode(authorization[6:].strip(), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise InvalidClientError(
            status_code=401, description="The Authorization header cannot be read."
        ) from None
    return unquote(text.partition(":")[0])


def _with_no_store(headers: Any) -> list[tuple[str, str]]:
    kept = [(name, value) for name, value in headers if name.lower() not in ("cache-control", "pragma")]
    return [*kept, *NO_STORE]
