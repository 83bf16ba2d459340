"""Logging in at a hospital's own OpenID provider: code flow with PKCE and nonce, in Authlib's words.

Authlib's client for httpx announces that it will leave httpx, so its functions that build a request are used,
and the requests go through this server's own guarded fetcher.

https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth and RFC 9207
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote_plus

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.errors import JoseError

from fhir_server.faults import Fault
from fhir_server.smart.assertions import peek_parts
from fhir_server.smart.fetch import Fetcher
from fhir_server.smart.issuers import provider, verified_claims
from fhir_server.smart.jwks import KeySets
from fhir_server.smart.mint import digest, new_secret, same
from fhir_server.smart.records import External, Issuer, User
from fhir_server.smart.shelf import Shelves
from fhir_server.smart.tokens import Site

_PATIENCE_MS: Final = 10 * 60_000


class NotLoggedIn(Exception):
    """The log-in at the provider did not succeed; why is not told, for the provider has said it already."""


class Providers:
    """The external providers that people may log in with."""

    def __init__(
        self, shelves: Shelves, key_sets: KeySets, fetcher: Fetcher, site: Site, clock: Callable[[], int]
    ) -> None:
        self._shelves = shelves
        self._key_sets = key_sets
        self._fetcher = fetcher
        self._site = site
        self._clock = clock

    async def offered(self) -> list[Issuer]:
        """Return the providers that the log-in page offers."""
        return [held.value for held in await self._shelves.issuers.all() if held.value.login]

    async def begin(self, issuer_id: str, flow: str, browser: str) -> str:
        """Return the address at the provider to send the browser to. Raises :class:`NotLoggedIn`."""
        issuer = await self._issuer(issuer_id)
        try:
            metadata = await provider(self._key_sets, issuer.issuer)
        except (Fault, ValueError):
            raise NotLoggedIn from None
        state, verifier, nonce = new_secret(), new_secret(), new_secret()
        record = External(flow, issuer_id, digest(browser), verifier, nonce)
        expires = self._clock() + _PATIENCE_MS
        await self._shelves.apply(self._shelves.externals.to_add(digest(state), record, expires=expires))
        url = prepare_grant_uri(
            str(metadata.get("authorization_endpoint")),
            issuer.client_id,
            "code",
            redirect_uri=self._site.at("external"),
            scope="openid",
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return str(url)

    async def finish(self, query: Mapping[str, str], browser: str) -> tuple[User, str]:
        """Return who came back from a provider, and the flow that waits. Raises :class:`NotLoggedIn`."""
        held = await self._shelves.externals.get(digest(query.get("state", "")))
        if held is None or not same(held.value.browser, digest(browser)) or not query.get("code"):
            raise NotLoggedIn
        external = held.value
        await self._shelves.apply(self._shelves.externals.to_remove(held))
        issuer = await self._issuer(external.issuer)
        # RFC 9207: a provider that says who it is must be the one that was asked (mix-up attack).
        if query.get("iss", issuer.issuer) != issuer.issuer:
            raise NotLoggedIn
        subject = await self._subject(issuer, external, query["code"])
        found = await self._shelves.users.find(f"external {issuer.id} {subject}")
        if len(found) != 1 or found[0].value.disabled:
            raise NotLoggedIn
        return found[0].value, external.flow

    async def _subject(self, issuer: Issuer, external: External, code: str) -> str:
        """Exchange the code and return the ID token's subject, once everything in it is verified."""
        try:
            metadata = await provider(self._key_sets, issuer.issuer)
            form = {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._site.at("external"),
                "code_verifier": external.verifier,
                "client_id": issuer.client_id,
            }
            # RFC 6749 2.3.1: both parts are form-encoded before they are joined.
            basic = (quote_plus(issuer.client_id), quote_plus(issuer.secret)) if issuer.secret else None
            token = await self._fetcher.exchange(str(metadata.get("token_endpoint")), form, basic)
            id_token = str(token.get("id_token", ""))
            claims = await verified_claims(
                self._key_sets,
                issuer.issuer,
                id_token,
                peek_parts(id_token)[0],
                audience=issuer.client_id,
                now=self._clock(),
            )
        except (Fault, JoseError, ValueError, TypeError) as error:
            raise NotLoggedIn from error
        if claims is None or not same(str(claims.get("nonce", "")), external.nonce):
            raise NotLoggedIn
        if claims.get("azp", issuer.client_id) != issuer.client_id or not isinstance(claims.get("sub"), str):
            raise NotLoggedIn
        return str(claims["sub"])

    async def _issuer(self, id_: str) -> Issuer:
        issuer = await self._shelves.issuers.value(id_)
        if issuer is None or not issuer.login:
            raise NotLoggedIn
        return issuer
