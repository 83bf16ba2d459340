"""What happens to accounts, clients and tokens, as AuditEvents: log-ins, tokens, administration.

Types and subtypes are DICOM's (PS3.15 A.5.3 User Authentication and Security Alert); a subtype of this
server's own says exactly what happened. Nothing that opens anything is ever in an entry: no password, code,
token or secret, and no name that was typed unless an account has it.
https://hl7.org/fhir/R4/valueset-audit-event-type.html and valueset-audit-event-sub-type.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from fhir_server.audit.coding import (
    APPLICATION,
    CLIENTS,
    DESTINATION,
    DICOM,
    ENTITIES,
    ROLES,
    Origin,
    Tree,
    concept,
)
from fhir_server.audit.entry import Entry
from fhir_server.clock import instant

ACCOUNTS: Final = "urn:fhir-server:account"
"""System of the names of accounts."""
EVENTS_SYSTEM: Final = "urn:fhir-server:security-event"

Target = Literal["account", "client", "issuer", "grant", "token"]

_AUTHENTICATION: Final = ("110114", "User Authentication")
_ALERT: Final = ("110113", "Security Alert")


class Kind(NamedTuple):
    """What an event is: DICOM's type and subtype (None: it has none), the action, words for a person."""

    type: tuple[str, str]
    subtype: tuple[str, str] | None
    action: str
    display: str


_CONFIGURATION: Final = ("110129", "Security Configuration")
_ATTRIBUTES: Final = ("110137", "User security Attributes Changed")

EVENTS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "login": Kind(_AUTHENTICATION, ("110122", "Login"), "E", "A person logs in"),
        "logout": Kind(_AUTHENTICATION, ("110123", "Logout"), "E", "A person logs out"),
        "lockout": Kind(_ALERT, None, "E", "Too many attempts to log in: none is looked at for a while"),
        "grant": Kind(_AUTHENTICATION, None, "C", "A person allows an app access, or does not"),
        "grant-end": Kind(_AUTHENTICATION, None, "D", "A person ends an app's access"),
        "token-issue": Kind(_AUTHENTICATION, None, "C", "A client gets an access token"),
        "token-refresh": Kind(_AUTHENTICATION, None, "C", "A client refreshes its access token"),
        "token-refused": Kind(_AUTHENTICATION, None, "C", "A client gets no token"),
        "token-revoke": Kind(_AUTHENTICATION, None, "D", "A client revokes a token"),
        "token-reuse": Kind(_ALERT, None, "E", "A code or refresh token comes a second time"),
        "client-add": Kind(_ALERT, _CONFIGURATION, "C", "A client is registered"),
        "client-remove": Kind(_ALERT, _CONFIGURATION, "D", "A client is removed"),
        "issuer-add": Kind(_ALERT, _CONFIGURATION, "C", "An identity provider is registered"),
        "issuer-remove": Kind(_ALERT, _CONFIGURATION, "D", "An identity provider is removed"),
        "account-add": Kind(_ALERT, _ATTRIBUTES, "C", "An account is added"),
        "account-disable": Kind(_ALERT, _ATTRIBUTES, "U", "An account is disabled"),
        "account-enable": Kind(_ALERT, _ATTRIBUTES, "U", "An account is enabled"),
        "account-remove": Kind(_ALERT, _ATTRIBUTES, "D", "An account is removed"),
        "password-change": Kind(_ALERT, _ATTRIBUTES, "U", "A person changes the own password"),
    }
)
"""Every event, by the code that is its own subtype; docs/audit.md lists them, and a test compares."""

_OBJECTS: Final[Mapping[str, tuple[str, tuple[str, str], tuple[str, str]]]] = MappingProxyType(
    {
        "account": (ACCOUNTS, ("1", "Person"), ("11", "Security User Entity")),
        "client": (CLIENTS, ("2", "System Object"), ("11", "Security User Entity")),
        "issuer": ("urn:fhir-server:issuer", ("2", "System Object"), ("13", "Security Resource")),
        "grant": ("urn:fhir-server:grant", ("2", "System Object"), ("13", "Security Resource")),
        "token": ("urn:ietf:params:oauth:jti", ("2", "System Object"), ("13", "Security Resource")),
    }
)


def security_event(entry: Entry, origin: Origin) -> Tree:
    """Return the AuditEvent of an entry whose interaction is one of :data:`EVENTS`."""
    kind = EVENTS[entry.interaction]
    subtypes = [{"system": EVENTS_SYSTEM, "code": entry.interaction, "display": kind.display}]
    if kind.subtype is not None:
        subtypes.insert(0, _dicom(kind.subtype))
    tree: Tree = {
        "resourceType": "AuditEvent",
        "type": _dicom(kind.type),
        "subtype": subtypes,
        "action": kind.action,
        "recorded": instant(entry.at),
        "outcome": str(entry.outcome),
    }
    if entry.text:
        tree["outcomeDesc"] = entry.text
    tree["agent"] = list(_agents(entry, origin))
    tree["source"] = {
        "observer": {"display": origin.name},
        "type": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/security-source-type",
                "code": "6",
                "display": "Security Server",
            }
        ],
    }
    if entity := _entity(entry):
        tree["entity"] = [entity]
    return tree


def _agents(entry: Entry, origin: Origin) -> Iterator[Tree]:
    """Yield the app or script, the person, and this server."""
    agent = entry.agent
    network = {"address": agent.address or "unknown", "type": "2"}
    if agent.client or not agent.account:
        client: Tree = {
            "type": concept(APPLICATION),
            "who": {"identifier": {"system": CLIENTS, "value": agent.client or "anonymous"}},
            "requestor": not agent.account,
        }
        if agent.token:
            client["policy"] = [f"urn:ietf:params:oauth:jti:{agent.token}"]
        yield client | {"network": network}
    if agent.account:
        yield _person(entry) | {"network": network}
    yield {
        "type": concept(DESTINATION),
        "who": {"display": origin.name},
        "requestor": False,
        "network": {"address": origin.address, "type": "1"},
    }


def _person(entry: Entry) -> Tree:
    agent = entry.agent
    who: dict[str, Any] = {"identifier": {"system": ACCOUNTS, "value": agent.account}}
    if agent.user:
        who["reference"] = agent.user
    human = ("http://terminology.hl7.org/CodeSystem/extra-security-role-type", "humanuser", "human user")
    person: Tree = {"type": concept(human)}
    if agent.roles:
        person["role"] = [{"text": role} for role in agent.roles]
    return person | {"who": who, "requestor": True}


def _entity(entry: Entry) -> Tree | None:
    """Return what it was done to, and the details."""
    entity: Tree = {}
    if entry.target:
        kind, _, value = entry.target.partition(" ")
        system, type_, role = _OBJECTS[kind]
        entity["what"] = {"identifier": {"system": system, "value": value}}
        entity["type"] = {"system": ENTITIES, "code": type_[0], "display": type_[1]}
        entity["role"] = {"system": ROLES, "code": role[0], "display": role[1]}
    if entry.details:
        entity["detail"] = [{"type": name, "valueString": value} for name, value in entry.details]
    return entity or None


def _dicom(code: tuple[str, str]) -> Tree:
    return {"system": DICOM, "code": code[0], "display": code[1]}
