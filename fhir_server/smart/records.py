"""What the authorization server remembers. Each class is one kind of state record; times are in ms.

Fields may be added with a default; none is renamed or given another meaning, for records outlive programs.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

AuthMethod = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
"""How a client shows who it is. https://www.rfc-editor.org/rfc/rfc7591#section-2"""


class Client(msgspec.Struct, frozen=True, omit_defaults=True):
    """A registered client.

    ``scope``: the most that it may be granted. ``secret``: digest of its secret. ``jwks`` or ``jwks_uri``:
    its public keys. ``organization``: ``Organization/1`` on whose behalf it acts. ``purposes``: codes of
    v3-PurposeOfUse that it may claim. ``introspects``: may ask about tokens of other clients. ``dynamic``:
    it registered itself. ``registration``: an id of this registration, by which its tokens are revoked.
    """

    id: str
    name: str
    method: AuthMethod
    scope: str
    grants: tuple[str, ...]
    created: int
    redirect_uris: tuple[str, ...] = ()
    secret: str = ""
    jwks: dict[str, Any] | None = None
    jwks_uri: str = ""
    organization: str = ""
    purposes: tuple[str, ...] = ()
    introspects: bool = False
    dynamic: bool = False
    registration: str = ""


class User(msgspec.Struct, frozen=True, omit_defaults=True):
    """An account. ``id``: the name to log in with. ``subject``: what tokens call it, telling nobody's name.

    ``password``: an Argon2 hash, "" = log-in by an external provider only. ``totp``: base32 secret.
    ``totp_used``: the last time step whose code was accepted. ``fhir_user``: ``Practitioner/1``,
    ``Patient/1`` or ``RelatedPerson/1``. ``proxies``: ``RelatedPerson/…`` records of the same person, one
    for each patient whose record the account may see too. ``external``: issuer and subject at a provider,
    joined by a space.
    """

    id: str
    name: str
    subject: str
    created: int
    password: str = ""
    totp: str = ""
    totp_used: int = 0
    roles: tuple[str, ...] = ()
    fhir_user: str = ""
    organization: str = ""
    practitioner_role: str = ""
    proxies: tuple[str, ...] = ()
    external: tuple[str, ...] = ()
    disabled: bool = False


class Attempts(msgspec.Struct, frozen=True):
    """Failed log-ins in a row, and until when no further one is looked at."""

    count: int
    until: int


class Session(msgspec.Struct, frozen=True):
    """A browser that has logged in; keyed by the digest of its cookie. ``methods``: RFC 8176 (pwd, otp)."""

    user: str
    created: int
    seen: int
    methods: tuple[str, ...]


class Context(msgspec.Struct, frozen=True, omit_defaults=True):
    """Launch context as the token response names it; ``patient`` and ``encounter`` are ids.

    https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#launch-context-arrives-with-your-access_token
    """

    patient: str = ""
    encounter: str = ""
    fhir_context: tuple[dict[str, Any], ...] = ()
    intent: str = ""
    need_patient_banner: bool | None = None
    tenant: str = ""


class Launch(msgspec.Struct, frozen=True):
    """A launch that an EHR registered; keyed by the digest of the ``launch`` parameter.

    ``client``: the app that it is for, "" = any. ``user``: the account that must log in, "" = any.
    """

    context: Context
    created_by: str
    client: str = ""
    user: str = ""


class Flow(msgspec.Struct, frozen=True, omit_defaults=True):
    """An authorization request on its way through the pages; keyed by its id, which is no secret.

    ``browser``: digest of the cookie of the browser that began it; no other one may go on with it.
    ``pending``: the account whose password was right and whose TOTP code is still to come. ``must_be``: the
    account that the EHR launched for. ``chosen_by``: the account that may open the patient of ``context``,
    as ``fhir_user``; ``visit_by``: the account that chose its encounter, or none.
    """

    browser: str
    client: str
    redirect_uri: str
    scope: str
    challenge: str
    state: str = ""
    nonce: str = ""
    prompt: str = ""
    max_age: int | None = None
    launch: str = ""
    context: Context = Context()
    must_be: str = ""
    chosen_by: str = ""
    fhir_user: str = ""
    pending: str = ""
    began: int = 0
    visit_by: str = ""


class Code(msgspec.Struct, frozen=True):
    """An authorization code, keyed by its digest; kept after its use so that a second one is noticed."""

    grant: str
    client: str
    redirect_uri: str
    scope: str
    challenge: str
    user: str
    until: int
    nonce: str = ""
    used: bool = False


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a person allowed a client: refresh tokens live as long as it does, and die with it.

    ``session``: the session's key, for ``online_access``: without it no refresh.
    """

    id: str
    client: str
    user: str
    fhir_user: str
    scope: str
    created: int
    authenticated: int
    context: Context = Context()
    session: str = ""


class Refresh(msgspec.Struct, frozen=True):
    """A refresh token, keyed by its digest; kept after its use so that a stolen one is noticed."""

    grant: str
    client: str
    used: bool = False


class Key(msgspec.Struct, frozen=True):
    """A signing key as a private JWK. It signs until ``retires``, and is published while it is kept."""

    kid: str
    algorithm: str
    jwk: dict[str, Any]
    created: int
    retires: int


class Issuer(msgspec.Struct, frozen=True, omit_defaults=True):
    """An external OpenID provider.

    ``login``: people may log in with it. ``audience``: its access tokens are accepted when they are for this
    audience, "" = they are not. ``scope``: the most that one of its tokens may grant here. ``secret`` is kept
    as it is, sealed, for it must be sent to the provider.
    """

    id: str
    issuer: str
    name: str
    client_id: str = ""
    secret: str = ""
    login: bool = False
    audience: str = ""
    scope: str = ""
    organization: str = ""
    purposes: tuple[str, ...] = ()


class External(msgspec.Struct, frozen=True):
    """A log-in under way at an external provider; keyed by the digest of its ``state``."""

    flow: str
    issuer: str
    browser: str
    verifier: str
    nonce: str


class Mark(msgspec.Struct, frozen=True):
    """A record that only has to be there: a used jti, a revoked token."""
