"""Consent.provision as R4 writes it, read into :class:`Provision`; what cannot be enforced is refused.

An element that is present but cannot be read is never taken for absent: absent means "no constraint".
https://hl7.org/fhir/R4/consent-definitions.html#Consent.provision
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Any, Final

from fhir_server.consent.policy import Code, policy, purposes_above, sensitivities_below
from fhir_server.consent.rule import NO_TERMS, Terms
from fhir_server.faults import Issue
from fhir_server.resources.reference import parse
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.dates import OPEN_END, OPEN_START, span

Tree = dict[str, Any]

MOST_LEVELS: Final = 8
"""Levels of provisions, the root included."""
MOST_PROVISIONS: Final = 200
"""Provisions in one Consent."""
MOST_VALUES: Final = 2000
"""Actors, labels, codes … in one Consent, all together."""

RESOURCE_TYPE_SYSTEM: Final = "http://hl7.org/fhir/resource-types"
MEDIA_TYPE_SYSTEM: Final = "urn:ietf:bcp:13"
LOINC: Final = "http://loinc.org"
ACTION_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/consentaction"

OWN: Final = "Patient/"
"""The patient's own reference in :attr:`Terms.data`."""

_ACTORS: Final = frozenset({"Device", "Organization", "Practitioner", "PractitionerRole", "RelatedPerson"})
_MEANINGS: Final = frozenset({"instance", "related", "dependents", "authoredby"})


@dataclass(frozen=True, slots=True)
class Provision:
    """One provision: its time (ms since the epoch, both included), what it is about, its exceptions.

    ``path``: where it stands, as a FHIRPath of the Consent.
    """

    permit: bool
    terms: Terms = NO_TERMS
    exceptions: tuple[Provision, ...] = ()
    start: int = OPEN_START
    end: int = OPEN_END
    path: str = "Consent"


@dataclass(slots=True)
class Reading:
    """One Consent being read: whose it is (``Patient/1``), and what was found that cannot be enforced.

    ``zone``: of dates without one; ``base``: the server's address without a slash at the end.
    """

    zone: tzinfo
    base: str = ""
    patient: str = ""
    issues: list[Issue] = field(default_factory=list)
    provisions: int = 0
    values: int = 0

    def refuse(self, path: str, advice: str, code: str = "not-supported") -> None:
        """Note that what stands at ``path`` cannot be enforced, and what to do about it."""
        self.issues.append(Issue("error", code, advice, (path,)))

    def items(self, tree: Tree, name: str, path: str) -> list[tuple[Tree, str]]:
        """Return the objects of a list element with their paths; anything else there is refused."""
        value = tree.get(name, [])
        listed = value if isinstance(value, list) else [value]
        self.values += len(listed)
        found = []
        for at, each in enumerate(listed):
            where = f"{path}.{name}[{at}]"
            if isinstance(each, dict):
                found.append((each, where))
            else:
                self.refuse(where, f"{name} must hold objects.", "structure")
        if name in tree and not listed:
            self.refuse(f"{path}.{name}", f"{name} is empty; leave it out to constrain nothing.", "structure")
        return found

    def period(self, tree: Tree, name: str, path: str) -> tuple[int, int] | None:
        """Return the limits of a Period (ms, both included); None when it is absent or cannot be read."""
        if name not in tree:
            return None
        where, value = f"{path}.{name}", tree[name]
        try:
            start = span(value["start"], self.zone)[0] if "start" in value else OPEN_START
            end = span(value["end"], self.zone)[1] if "end" in value else OPEN_END
        except (KeyError, TypeError, ValueError):
            self.refuse(where, "A Period needs dates that can be read.", "invalid")
            return None
        if (start, end) == (OPEN_START, OPEN_END):
            self.refuse(where, "The Period has neither start nor end; give one, or leave it out.", "invalid")
        if start > end:
            self.refuse(where, "The Period ends before it starts.", "invalid")
        return start, end

    def reference(self, value: Any, path: str) -> str | None:
        """Return ``Type/id`` of a Reference to a resource of this server; None and an issue for any other."""
        text = value.get("reference") if isinstance(value, dict) else None
        found = parse(text, self.base) if isinstance(text, str) else None
        if found is None or found.local is None:
            self.refuse(path, "Name a resource of this server by a literal reference such as Organization/1.")
            return None
        if found.version is not None:
            self.refuse(path, "A Consent speaks of a resource, not of one version; leave _history out.")
            return None
        return found.local

    def codings(self, concept: Tree, path: str) -> list[tuple[Code, str]]:
        """Return the codings of a CodeableConcept; one without any is refused: text cannot be compared."""
        found = self.items(concept, "coding", path)
        if not found:
            self.refuse(path, "Give a coding with system and code; text alone cannot be enforced.")
        return [(code, where) for each, where in found if (code := self.coding(each, where)) is not None]

    def coding(self, value: Tree, path: str) -> Code | None:
        """Return system and code of a Coding; None and an issue when either is missing."""
        system, code = value.get("system"), value.get("code")
        if isinstance(system, str) and isinstance(code, str) and system and code:
            return system, code
        self.refuse(path, "Give the coding a system and a code.")
        return None


def read_provision(reading: Reading, tree: Tree, path: str, *, permit: bool) -> tuple[Provision, ...]:
    """Read one provision: itself, and the nested ones of its own kind, which add to it.

    A nested provision of the other kind is an exception. One of the same kind is a further provision beside
    the one around it: what it does not state it takes from that one, its exceptions too.
    """
    return _read(reading, tree, path, Provision(permit=permit, path=path), level=1)


def _read(reading: Reading, tree: Tree, path: str, base: Provision, level: int) -> tuple[Provision, ...]:
    """Read the provision at ``path``; ``base`` has what it takes over where it says nothing itself."""
    reading.provisions += 1
    stated = _stated(reading, tree, path)
    period = reading.period(tree, "period", path)
    start, end = period or (OPEN_START, OPEN_END)
    fields = Terms.__struct_fields__
    terms = Terms(**{name: getattr(stated, name) or getattr(base.terms, name) for name in fields})
    own = replace(base, terms=terms, start=max(start, base.start), end=min(end, base.end), path=path)
    exceptions: list[Provision] = list(base.exceptions)
    additions: list[tuple[Tree, str]] = []
    for nested, where in _nested(reading, tree, path, level):
        kind = nested.get("type")
        if kind not in ("permit", "deny"):
            reading.refuse(f"{where}.type", "A nested provision says permit or deny.", "required")
        elif (kind == "permit") == base.permit:
            additions.append((nested, where))
        else:
            outset = Provision(permit=not base.permit, path=where)
            exceptions += _read(reading, nested, where, outset, level + 1)
    own = replace(own, exceptions=tuple(exceptions))
    added = (_read(reading, nested, where, own, level + 1) for nested, where in additions)
    return (own, *(each for one in added for each in one))


def _nested(reading: Reading, tree: Tree, path: str, level: int) -> list[tuple[Tree, str]]:
    """Return the provisions inside one, unless they are too many or too deep, which is refused."""
    found = reading.items(tree, "provision", path)
    if found and level >= MOST_LEVELS:
        reading.refuse(f"{path}.provision", f"Provisions nest at most {MOST_LEVELS} levels.", "too-costly")
        return []
    if reading.provisions + len(found) > MOST_PROVISIONS or reading.values > MOST_VALUES:
        reading.refuse(path, f"A Consent holds at most {MOST_PROVISIONS} provisions.", "too-costly")
        return []
    return found


def _stated(reading: Reading, tree: Tree, path: str) -> Terms:
    """Read what a provision states by itself."""

    def each(name: str, read: Callable[[Reading, Tree, str], Iterable[Any]]) -> tuple[Any, ...]:
        items = reading.items(tree, name, path)
        return tuple(sorted({one for value, where in items for one in read(reading, value, where)}))

    return Terms(
        actors=each("actor", _actor),
        actions=each("action", _action),
        labels=each("securityLabel", _label),
        purposes=each("purpose", _purpose),
        classes=each("class", _class),
        codes=each("code", lambda reading, value, where: [code for code, _ in reading.codings(value, where)]),
        period=reading.period(tree, "dataPeriod", path),
        data=each("data", _datum),
    )


def _actor(reading: Reading, value: Tree, path: str) -> Iterable[tuple[str, str]]:
    """Yield (reference, role): of recipients the reference alone; a class of people is a role without one."""
    role = value.get("role")
    codings = reading.codings(role if isinstance(role, dict) else {}, f"{path}.role")
    # The codings of one concept say the same: one that says what the actor is says more than "receives".
    roles = [code for (system, code), _ in codings if _is_role((system, code))]
    is_recipient = any(_is_recipient(code) for code, _ in codings)
    if codings and not roles and not is_recipient:
        reading.refuse(
            f"{path}.role",
            "The role must say that the actor receives the data (IRCP) or what the actor is (a code of a "
            "role system in docs/consent.md). To name who made the data, use data with authoredby.",
        )
    target = value.get("reference")
    reference: str | None = ""
    names_class = isinstance(target, dict) and "reference" not in target and "identifier" not in target
    if not (names_class and roles):
        reference = reading.reference(target, f"{path}.reference")
    if reference and reference.partition("/")[0] not in _ACTORS:
        reading.refuse(
            f"{path}.reference",
            "Name an Organization, Practitioner, PractitionerRole, RelatedPerson or Device; of a Group or a "
            "CareTeam its members. Patients see their own records whatever a Consent says.",
        )
        return
    if reference is not None:
        yield from ((reference, role) for role in roles or [""])


def _is_recipient(code: Code) -> bool:
    return code[1] in policy().recipients.get(code[0], ())


def _is_role(code: Code) -> bool:
    return code[0] in policy().roles and code[1] not in policy().bystanders and not _is_recipient(code)


def _action(reading: Reading, value: Tree, path: str) -> Iterable[str]:
    for (system, code), where in reading.codings(value, path):
        if system == ACTION_SYSTEM and code in policy().actions:
            yield code
        else:
            reading.refuse(where, "Actions are collect, access, use, disclose and correct of consentaction.")


def _label(reading: Reading, value: Tree, path: str) -> Iterable[Code]:
    found = reading.coding(value, path)
    if found is None:
        return
    system, code = found
    ordered = policy().ordered.get(system)
    if sensitivities_below(system, code) or (ordered is not None and code in ordered.order):
        yield found
    else:
        reading.refuse(path, "The label is no confidentiality, sensitivity or data level that is known.")


def _purpose(reading: Reading, value: Tree, path: str) -> Iterable[str]:
    found = reading.coding(value, path)
    if found is None:
        return
    if found[1] in policy().purposes.get(found[0], {}) and purposes_above(found[1]):
        yield found[1]
    else:
        reading.refuse(path, "The purpose is none of v3-ActReason, nor of those that docs/consent.md adds.")


def _class(reading: Reading, value: Tree, path: str) -> Iterable[tuple[str, str]]:
    found = reading.coding(value, path)
    if found is None:
        return
    system, code = found
    if system == RESOURCE_TYPE_SYSTEM and code in RESOURCE_TYPES:
        yield "type", code
    elif system == LOINC:
        yield "document", code
    elif system == MEDIA_TYPE_SYSTEM:
        yield "content", code
    else:
        reading.refuse(path, "A class is a resource type, a type of document (LOINC) or a media type.")


def _datum(reading: Reading, value: Tree, path: str) -> Iterable[tuple[str, str]]:
    meaning = value.get("meaning")
    if meaning not in _MEANINGS:
        reading.refuse(f"{path}.meaning", "The meaning is instance, related, dependents or authoredby.")
        return
    reference = reading.reference(value.get("reference"), f"{path}.reference")
    if reference is None:
        return
    # The patient's own reference would tell patients with the same wish apart.
    is_own = reference == reading.patient and meaning != "authoredby"
    yield meaning, OWN if is_own else reference
