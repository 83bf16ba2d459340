"""An entry of the log as FHIR AuditEvents, after IHE's Basic Audit Log Patterns (BALP).

One for each patient whose record was touched, one when there was none. Who is source and who is destination
is BALP's: the client of a create, an update or a query is the source; of a read it is the destination; a
delete has an application and a custodian. https://profiles.ihe.net/ITI/BALP/
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

from fhir_server.audit.coding import (
    APPLICATION,
    CLIENTS,
    DESTINATION,
    ENTITIES,
    ROLES,
    SOURCE,
    Origin,
    Tree,
    concept,
)
from fhir_server.audit.entry import SUCCESS, Entry, Item
from fhir_server.audit.security import EVENTS, security_event
from fhir_server.clock import instant
from fhir_server.consent.policy import purpose_system

_PROFILES: Final = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"

REASONS: Final = "urn:fhir-server:decision"
"""Type of the detail that says what a decision rests on."""

CUSTODIAN: Final = (
    "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
    "custodian",
    "Custodian",
)

_SILENT: Final = "Consent: none of the patient's speaks of this; the overarching policy decides: "
_POLICIES: Final = {
    **{name: _SILENT + name for name in ("treatment", "permit", "deny")},
    "own": "Consent: not asked, the patient's own access",
    "house": "Consent: not asked, a client of the house itself that stated no purpose of use",
    "internal": "Consent: not asked, the server's own or a developer's use",
}
"""What decided where no Consent did, by :attr:`Entry.policy`."""

_ACTIONS: Final = {
    "create": "C",
    "read": "R",
    "vread": "R",
    "update": "U",
    "patch": "U",
    "delete": "D",
}
_PROFILE_NAMES: Final = {"C": "Create", "R": "Read", "U": "Update", "D": "Delete", "E": "Query"}
_CLIENT: Final = {"C": SOURCE, "R": DESTINATION, "U": SOURCE, "D": APPLICATION, "E": SOURCE}
_SERVER: Final = {"C": DESTINATION, "R": SOURCE, "U": DESTINATION, "D": CUSTODIAN, "E": DESTINATION}
_SEARCHES: Final = frozenset({"search-type", "search-system", "search-compartment"})


def id_of(chain: str, segment: int, number: int, part: int) -> str:
    """Return the id of the ``part``-th AuditEvent of an entry; it tells where in the log the entry stands."""
    return f"{chain}-{segment}-{number}-{part}"


def audit_events(entry: Entry, origin: Origin) -> Iterator[Tree]:
    """Yield the AuditEvents of an entry, without id and meta.versionId."""
    if entry.interaction in EVENTS:
        yield security_event(entry, origin)
        return
    for at, patient in enumerate(entry.patients or ("",)):
        consents = entry.consents[at] if at < len(entry.consents) else ()
        yield _event(entry, patient, consents, origin)


def action_of(entry: Entry) -> str:
    """Return the kind of action: C, R, U, D, or E for whatever is asked of many at once."""
    return "C" if entry.created else _ACTIONS.get(entry.interaction, "E")


def _event(entry: Entry, patient: str, consents: tuple[str, ...], origin: Origin) -> Tree:
    action = action_of(entry)
    tree: Tree = {"resourceType": "AuditEvent"}
    if profile := _profile(entry, patient, action):
        tree["meta"] = {"profile": [profile]}
    tree["type"] = {
        "system": "http://terminology.hl7.org/CodeSystem/audit-event-type",
        "code": "rest",
        "display": "Restful Operation",
    }
    tree["subtype"] = [
        {"system": "http://hl7.org/fhir/restful-interaction", "code": code, "display": code}
        for code in _subtypes(entry, action)
    ]
    tree["action"] = action
    tree["recorded"] = instant(entry.at)
    tree["outcome"] = str(entry.outcome)
    if entry.text:
        tree["outcomeDesc"] = f"{entry.issue}: {entry.text}" if entry.issue else entry.text
    if entry.agent.purpose:
        tree["purposeOfEvent"] = [_purpose(entry.agent.purpose)]
    tree["agent"] = _agents(entry, action, origin)
    tree["source"] = {"observer": {"display": origin.name}}
    tree["entity"] = list(_entities(entry, patient, consents, action))
    return tree


def _profile(entry: Entry, patient: str, action: str) -> str | None:
    """Return the BALP profile that a success claims; refusals and what is no search have none."""
    if entry.outcome != SUCCESS or (action == "E" and entry.interaction not in _SEARCHES):
        return None
    if action != "E" and not entry.items:
        return None
    return f"{_PROFILES}{'Patient' if patient else ''}{_PROFILE_NAMES[action]}"


def _subtypes(entry: Entry, action: str) -> Iterator[str]:
    if action == "C" and entry.interaction != "create":
        yield "create"
    # restful-interaction has no code of its own for it, and BALP knows search-type.
    yield "search-type" if entry.interaction == "search-compartment" else entry.interaction


def _agents(entry: Entry, action: str, origin: Origin) -> list[Tree]:
    agent = entry.agent
    client: Tree = {
        "type": concept(_CLIENT[action]),
        "who": {"identifier": {"system": CLIENTS, "value": agent.client}},
        "requestor": not agent.user,
    }
    if agent.organization:
        client["who"]["display"] = f"{agent.client} of {agent.organization}"
    if not agent.user:
        client |= _grounds(entry)
    client["network"] = {"address": agent.address or "unknown", "type": "2"}
    server = {
        "type": concept(_SERVER[action]),
        "who": {"display": origin.name},
        "requestor": False,
        "network": {"address": origin.address, "type": "1"},
    }
    agents = [client, server]
    if agent.user:
        agents.append(_user(entry))
    if agent.organization:
        agents.append(_organization(agent.organization))
    return agents


def _grounds(entry: Entry) -> Tree:
    """Return policy (the token's id) and purpose of use: the grounds on which an agent asked."""
    grounds: Tree = {}
    if entry.agent.token:
        grounds["policy"] = [f"urn:ietf:params:oauth:jti:{entry.agent.token}"]
    if entry.agent.purpose:
        grounds["purposeOfUse"] = [_purpose(entry.agent.purpose)]
    return grounds


def _user(entry: Entry) -> Tree:
    """Return the agent for the person behind the client."""
    code = ("AUT", "author (originator)") if action_of(entry) in "CU" else ("IRCP", "information recipient")
    user: Tree = {"type": concept((_PARTICIPATION, *code))}
    if entry.agent.roles:
        user["role"] = [{"text": role} for role in entry.agent.roles]
    user["who"] = {"reference": entry.agent.user}
    user["requestor"] = True
    return user | _grounds(entry)


def _organization(reference: str) -> Tree:
    """Return the agent for the organisation that the client or the person acts for."""
    responsible = concept((_PARTICIPATION, "RESP", "responsible party"))
    return {"type": responsible, "who": {"reference": reference}, "requestor": False}


def _entities(entry: Entry, patient: str, consents: tuple[str, ...], action: str) -> Iterator[Tree]:
    if entry.request:
        yield {
            "what": {"identifier": {"value": entry.request}},
            "type": {
                "system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType",
                "code": "XrequestId",
            },
        }
    if action == "E" or not entry.items:
        yield _query(entry)
    for item in entry.items if action != "E" else ():
        yield {
            "what": {"reference": _reference(item)},
            "type": _object(),
            "role": _role("4", "Domain Resource"),
        }
    if patient:
        yield {
            "what": {"reference": f"Patient/{patient}"},
            "type": {"system": ENTITIES, "code": "1", "display": "Person"},
            "role": _role("1", "Patient"),
        }
    for reference in consents:
        yield {"what": {"reference": reference}, "type": _object(), "role": _role("13", "Security Resource")}
    policy = _POLICIES.get(entry.policy, "") if patient and not consents else ""
    reasons = (*entry.reason, *filter(None, (policy,)))
    if reasons:
        yield {
            "type": {"system": ENTITIES, "code": "4", "display": "Other"},
            "role": _role("13", "Security Resource"),
            "detail": [{"type": REASONS, "valueString": reason} for reason in reasons],
        }


def _query(entry: Entry) -> Tree:
    """Return what was asked: as it was sent in base64, and what it means in words."""
    query = base64.b64encode(sent(entry).encode("utf-8", "surrogatepass")).decode()
    return {
        "type": _object(),
        "role": _role("24", "Query"),
        "description": entry.meaning or " ".join(filter(None, (entry.operation, entry.type))) or "all types",
        **({"query": query} if query else {}),
    }


def sent(entry: Entry) -> str:
    """Return a request as it was sent: method, path and parameters, those of a form among them."""
    parameters = urlencode(entry.parameters, errors="surrogatepass")
    return f"{entry.query}?{parameters}" if parameters else entry.query


def _reference(item: Item) -> str:
    return f"{item.type}/{item.id}/_history/{item.version}" if item.version else f"{item.type}/{item.id}"


def _object() -> Tree:
    return {"system": ENTITIES, "code": "2", "display": "System Object"}


def _role(code: str, display: str) -> Tree:
    return {"system": ROLES, "code": code, "display": display}


def _purpose(code: str) -> Tree:
    return {"coding": [{"system": purpose_system(code), "code": code}]}
