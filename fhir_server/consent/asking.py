"""Who asks for a record and what for: all of a request that a Consent can speak of.

https://hl7.org/fhir/R4/consent-definitions.html#Consent.provision.actor
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from fhir_server.consent.policy import Overarching, policy, purposes_above

Action = Literal["access", "collect", "use", "correct", "disclose"]
"""https://hl7.org/fhir/R4/codesystem-consent-action.html"""


@dataclass(frozen=True)
class Asking:
    """One asking; equal ones get the same answer.

    ``organization``, ``user``, ``device``: references (``Organization/1``; ``device`` is the client) or None.
    ``others``: further references that the asker answers to: the Practitioner behind a PractitionerRole, the
    organisations that its own is part of. ``roles``: codes of what the user is, without their systems.
    ``purpose``: its code; None when none was stated. ``custodian``: the records are the organisation's own.
    ``lifts``: the glass is broken, so that only what is proof against emergencies stays closed.
    """

    organization: str | None = None
    user: str | None = None
    roles: frozenset[str] = field(default=frozenset())
    device: str | None = None
    others: frozenset[str] = field(default=frozenset())
    purpose: str | None = None
    action: Action = "access"
    custodian: bool = False
    lifts: bool = False

    @cached_property
    def names(self) -> frozenset[str]:
        """Every reference by which a provision may name the asker."""
        own = (self.organization, self.user, self.device)
        return self.others | {each for each in own if each is not None}

    @property
    def breaker(self) -> str:
        """Who breaks the glass: the user at an organisation, as whose staff alone it is then lifted."""
        return breaker(self.user, self.organization)

    @cached_property
    def purposes(self) -> frozenset[str]:
        """The purpose and all that include it; empty when none was stated or it is unknown."""
        return purposes_above(self.purpose) if self.purpose is not None else frozenset()

    @cached_property
    def actions(self) -> frozenset[str]:
        """The action and all that it implies: who reads another's record has it disclosed and uses it."""
        implied = policy().actions[self.action] | {self.action}
        return implied - {"disclose"} if self.custodian and self.action != "disclose" else implied

    @cached_property
    def standing(self) -> Literal["custodian", "proxy", "stranger"]:
        """How the asker stands to the record for this purpose.

        A custodian or a proxy (a RelatedPerson) that asks for what is not its own business is a stranger.
        """
        if self.custodian and self._is_business_of("custodian"):
            return "custodian"
        if (self.user or "").startswith("RelatedPerson/") and self._is_business_of("proxy"):
            return "proxy"
        return "stranger"

    def _is_business_of(self, standing: str) -> bool:
        return self.purpose is None or not self.purposes.isdisjoint(policy().silence[standing])

    @property
    def is_vague(self) -> bool:
        """True for a stranger whose purpose is not known: it may be any that somebody refused."""
        return self.standing == "stranger" and not self.purposes


def breaker(user: str | None, organization: str | None) -> str:
    """Return a user at an organisation as one text; "" where no user is."""
    return f"{user} at {organization or 'none'}" if user else ""


def silence_permits(asking: Asking, overarching: Overarching) -> bool:
    """Tell whether a patient who has said nothing permits what is asked for.

    Whoever may write about a patient by right may record what it finds: only a Consent forbids that.
    """
    if asking.action == "collect" or asking.standing != "stranger":
        return True
    if asking.custodian:
        return False
    if overarching == "treatment":
        return not asking.purposes.isdisjoint(policy().silence["treatment"])
    return overarching == "permit"
