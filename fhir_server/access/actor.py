"""Who is asking: what a verified token says of the client, the person behind it and the context.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from fhir_server.access.scopes import NO_RIGHTS, Rights

SYSTEM_ADMINISTRATOR: Final = "system-administrator"
"""Role of who may reindex, import and look at plans; sees no patient's records by it."""
SECURITY_ADMINISTRATOR: Final = "security-administrator"
"""Role of who manages clients, accounts and agreements; sees no patient's records by it."""
AUDIT_ADMINISTRATOR: Final = "audit-administrator"
"""Role of who reads the audit, and nothing else."""

NEVER: Final = 2**62
"""An expiry, in ms since the epoch, that does not come."""


@dataclass(frozen=True, slots=True)
class Actor:
    """One caller as a token describes it; made by ``access.bearer`` alone, and by the class methods here.

    ``client``: the client's id. ``user``: ``Practitioner/1``, ``Patient/1`` …, None when no person is behind
    the client. ``organization``: ``Organization/1``, whose client or member of staff this is; None: the
    house's own. ``rights``: the scopes that were granted. ``patient``, ``encounter``: ids of the launch
    context. ``purpose``: the purpose of use of this request, one of ``purposes``, which the client
    registered. ``token``: the token's jti. ``expires``: ms since the epoch.
    """

    client: str
    user: str | None = None
    organization: str | None = None
    roles: frozenset[str] = field(default=frozenset())
    rights: Rights = NO_RIGHTS
    patient: str | None = None
    encounter: str | None = None
    purposes: frozenset[str] = field(default=frozenset())
    purpose: str | None = None
    token: str | None = None
    expires: int = NEVER
    is_development: bool = False

    @classmethod
    def development(cls) -> Actor:
        """Return the caller of a server without authentication: it may see and do everything."""
        return cls(client="development", is_development=True)

    @classmethod
    def internal(cls, use: str) -> Actor:
        """Return the server itself at a named ``use`` (``load``), with all rights."""
        return cls(client=f"internal:{use}", is_development=True)

    @classmethod
    def supposed(
        cls,
        *,
        client: str = "supposed",
        user: str | None = None,
        organization: str | None = None,
        roles: frozenset[str] = frozenset(),
        purpose: str | None = None,
    ) -> Actor:
        """Return somebody who might ask, to work out what consents would leave; without any right."""
        return cls(client=client, user=user, organization=organization, roles=roles, purpose=purpose)

    @property
    def holder(self) -> str:
        """Who this is and what for, whichever token it shows: page links are bound to it."""
        parts = (self.client, self.user, self.patient, self.organization, self.purpose)
        return "|".join(part or "" for part in parts)
