"""The desk on which one OAuth request is decided: what it needs, loaded before, and what it wants written.

Authlib decides synchronously; the store is asked before and written to after. Between the two nothing waits,
so a decision is a pure function of the desk. Decision record 0012.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from joserfc.jwk import ECKey, RSAKey

from fhir_server.smart.records import Client, Code, Grant, Mark, Refresh, User
from fhir_server.smart.shelf import Held, Shelves
from fhir_server.smart.tokens import MAX_ACCESS_SECONDS, Tokens
from fhir_server.store.state import StateChange

MAX_MEMBERS: Final = 50
MAX_VALUE: Final = 16 * 1024


class FormRequest(OAuth2Request):  # type: ignore[misc]  # Authlib has no types
    """A request's parameters in Authlib's words. ``authorization``: that header, "" when there is none."""

    def __init__(self, method: str, form: Mapping[str, str], authorization: str = "") -> None:
        # That the way here was safe is the proxy's matter and check_start's; Authlib looks at the scheme.
        super().__init__(method, "https://authorization.server/", headers={"Authorization": authorization})
        self._form = dict(form)
        self.payload = BasicOAuth2Payload(self._form)

    @property
    def form(self) -> dict[str, str]:
        """The parameters of the body."""
        return self._form

    @property
    def args(self) -> dict[str, str]:
        """The parameters of the query: none, they are all in the form."""
        return {}


def form_of(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return parameters by name; Authlib's InvalidRequestError for what OAuth does not allow.

    RFC 6749 3.1: no parameter twice, empty ones count as left out; appendix A: printable ASCII.
    """
    form: dict[str, str] = {}
    for name, value in pairs:
        if name in form:
            raise InvalidRequestError("A parameter occurs more than once.")
        if len(value) > MAX_VALUE or not (value.isascii() and (value.isprintable())):
            raise InvalidRequestError("A parameter is too long or holds characters that OAuth does not use.")
        form[name] = value
    if len(form) > MAX_MEMBERS:
        raise InvalidRequestError("There are too many parameters.")
    return {name: value for name, value in form.items() if value}


@dataclass(slots=True)
class Desk:
    """What was loaded for one request, and what is to be written if it is granted (or even if not).

    ``key``: the one key that fits the client's assertion. ``jti_used``: it was seen before.
    ``session_alive``: the session of an ``online_access`` grant still is. ``written``: for a granted request.
    ``always``: whatever the answer, such as the jti that was used and the grant that is revoked because a
    token came back. ``reused``: what came back, a code or a refresh token; "" = nothing. ``issued``: the
    access token that was made.
    """

    shelves: Shelves
    tokens: Tokens
    now: int
    client: Client | None = None
    key: RSAKey | ECKey | None = None
    jti_used: bool = False
    code: Held[Code] | None = None
    refresh: Held[Refresh] | None = None
    grant: Held[Grant] | None = None
    user: User | None = None
    session_alive: bool = True
    claims: dict[str, Any] | None = None
    may_introspect: bool = False
    written: list[StateChange] = field(default_factory=list)
    always: list[StateChange] = field(default_factory=list)
    reused: str = ""
    issued: str = ""

    def use_jti(self, jti: str, expires: int) -> bool:
        """Note that an assertion was used; False when it had been."""
        if self.jti_used or self.client is None:
            return False
        key = f"{self.client.id} {jti}"
        self.always.append(self.shelves.jtis.to_add(key, Mark(), expires=(expires + 60) * 1000))
        return True

    def revoke_grant(self, grant: str) -> list[StateChange]:
        """Return the changes that end a grant, its refresh tokens and its access tokens."""
        return [self.shelves.grants.to_clear(grant), self.revoke(grant)]

    def revoke(self, key: str, seconds: int = MAX_ACCESS_SECONDS) -> StateChange:
        """Return the change that revokes a token by its jti, or all tokens of a grant by its id."""
        return self.shelves.revoked.to_set(key, Mark(), expires=self.now + (seconds + 60) * 1000)
