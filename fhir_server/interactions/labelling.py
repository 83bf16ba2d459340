"""Labels on write: what the house's rules, the patient's age and a container's contents ask for.

Labels that a rule made carry ``userSelected: false``; those that a person set do not. So each write can
make the rules' anew and keep the others. Decision 0016 says why, docs/labels.md which rules there are.
https://hl7.org/fhir/R4/security-labels.html
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from fhir_server.clock import now_ms
from fhir_server.consent.labels import Label, Rules, came_of_age, highest, rules
from fhir_server.faults import Fault, Kind
from fhir_server.resources.codec import decode, encode
from fhir_server.search.values import Values
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Store

Tree = dict[str, Any]

_LOOK: Final = Visibility.everything("labels: ages and contents")
_REMEMBERED: Final = 20_000
_SECONDS: Final = 60.0
"""How long a birth date is remembered: another process may have changed it meanwhile."""


class Labelling:
    """Labels what one process writes. ``path``: a rule file instead of the house's own.

    ``base``: the server's address without a slash at the end, by which references to it may be written.
    """

    def __init__(self, store: Store, zone: Any, path: Path | None = None, base: str = "") -> None:
        self.rules: Rules = rules(path)
        self._base = base
        self._store = store
        self._zone = zone
        # Patient's id → when it is of age (ms), and until when that is believed (monotonic seconds).
        self._of_age: OrderedDict[str, tuple[int, float]] = OrderedDict()

    async def labels(
        self, tree: Tree, body: bytes, values: Values, together: Mapping[str, Tree]
    ) -> list[Label]:
        """Return what the rules ask for. ``tree``, ``body``, ``values``: the resource with its identity.

        ``together``: the other resources of the same commit, by ``Type/id``.
        """
        found = self.rules.of_codes(tree, body)
        type_, id_ = tree["resourceType"], tree["id"]
        at = values.clinical if values.clinical is not None else now_ms()
        if type_ == "Patient":
            self._of_age.pop(id_, None)
            found += self.rules.of_age(str(tree.get("birthDate", "")), at, self._zone)
        else:
            for patient in values.patients:
                if at < await self._comes_of_age(patient, together):
                    found += self.rules.minors
                    break
        held = self.rules.held(type_, body, self._base)
        if held:
            found += await self._held(held, together)
        return highest(found) if found else found

    async def _comes_of_age(self, patient: str, together: Mapping[str, Tree]) -> int:
        """Return when (ms) a patient is no minor any more; 0 for who is not known here."""
        beside = together.get(f"Patient/{patient}")
        if beside is not None:
            return came_of_age(str(beside.get("birthDate", "")), self.rules.years, self._zone)
        known = self._of_age.get(patient)
        now = time.monotonic()
        if known is not None and known[1] > now:
            return known[0]
        stored = await self._store.read(_LOOK, "Patient", patient)
        if stored is None or stored.deleted:
            return 0
        born = str(decode(stored.body).get("birthDate", ""))
        instant = came_of_age(born, self.rules.years, self._zone)
        self._of_age[patient] = instant, now + _SECONDS
        if len(self._of_age) > _REMEMBERED:
            self._of_age.popitem(last=False)
        return instant

    async def _held(self, references: Iterable[str], together: Mapping[str, Tree]) -> list[Label]:
        """Return the labels of what a container refers to: beside it in the commit, or stored.

        What stands beside it may be a container too, and has no labels yet.
        """
        found: list[Label] = []
        stored: list[tuple[str, str]] = []
        waiting = list(references)
        known = set(waiting)
        while waiting:
            reference = waiting.pop()
            beside = together.get(reference)
            if beside is None:
                type_, _, id_ = reference.partition("/")
                stored.append((type_, id_))
                continue
            body = encode(beside)
            found += self.rules.of_codes(beside, body)
            found += self.rules.handed_on(_security(beside))
            inner = self.rules.held(beside["resourceType"], body, self._base)
            waiting += (each for each in inner if each not in known)
            known.update(inner)
        if stored:
            for each in await self._store.read_many(_LOOK, stored):
                if b'"security"' in each.body:
                    found += self.rules.handed_on(_security(decode(each.body)))
        return found


def merged(tree: Tree, before: Tree | None, made: Iterable[Label], *, may_relabel: bool) -> list[Any]:
    """Return the ``meta.security`` to store. ``before``: the version that ``tree`` replaces.

    Who has not the scope ``relabel`` sends what a person set as it was, and what rules made as it was or not
    at all: they make theirs anew. Anything else is a Fault FORBIDDEN. Of an ordered kind the highest counts.
    """
    sent, stood = _security(tree), _security(before or {})
    required = list(made)
    if may_relabel:
        dropped = {_key(each) for each in stood if _is_made(each)}
        kept = [each for each in sent if not _is_made(each) and _key(each) not in dropped]
    else:
        kept = [each for each in stood if not _is_made(each)]
        given = {_key(each) for each in sent}
        if not {_key(each) for each in kept} <= given <= {_key(each) for each in stood} | set(required):
            raise Fault(
                Kind.FORBIDDEN,
                "Changing meta.security here needs the scope relabel; send the labels as they were.",
                f"{tree['resourceType']}.meta.security",
            )
    keys = {_key(each) for each in kept}
    standing = set(highest([*(key for key in keys if key is not None), *required]))
    result = [each for each in kept if _key(each) in standing or _key(each) is None]
    result += [
        {"system": system, "code": code, "userSelected": False}
        for system, code in required
        if (system, code) in standing and (system, code) not in keys
    ]
    return result


def with_security(tree: Tree, security: list[Any]) -> Tree:
    """Return the tree with these labels in its meta, and without the element when there are none."""
    meta = {key: value for key, value in tree.get("meta", {}).items() if key != "security"}
    if security:
        meta["security"] = security
    return {**tree, "meta": meta}


def _security(tree: Tree) -> list[Any]:
    meta = tree.get("meta")
    found = meta.get("security") if isinstance(meta, dict) else None
    return found if isinstance(found, list) else []


def _is_made(coding: Any) -> bool:
    return isinstance(coding, dict) and coding.get("userSelected") is False


def _key(coding: Any) -> Label | None:
    """Return system and code; None for a label that has no code, which no rule speaks of."""
    if not isinstance(coding, dict) or not isinstance(coding.get("code"), str):
        return None
    return str(coding.get("system", "")), coding["code"]
