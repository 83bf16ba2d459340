"""The house's access policy: which types are of which kind. Data, in ``conformance/policies/access.json``.

docs/access.md explains every list.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import msgspec


@dataclass(frozen=True, slots=True)
class Policy:
    """The lists of ``access.json``.

    ``universal``: belong to no patient; who has the scope may read them. ``knowledge``: definitions, the
    same, for users and systems. ``explicit``: never meant by ``*`` in a scope. ``unwritable``: by nobody.
    ``governing``: records that decide who sees what; not written in a patient's or user's context, but for
    Consents by the patient, and by staff who record what the patient signed.
    ``owned``: type → parameters that name the organisation whose record it is. ``owned_through``: type →
    (parameter, type), whose owner owns this too. ``patients_of``: (type, parameter to the patient, parameter
    to the organisation): records that make somebody an organisation's patient. ``binary_contexts``: types
    to which a Binary's securityContext is followed. ``protected_tag_systems``: tags that only who may relabel
    changes.
    """

    universal: frozenset[str]
    knowledge: frozenset[str]
    explicit: frozenset[str]
    unwritable: frozenset[str]
    governing: frozenset[str]
    owned: dict[str, tuple[str, ...]]
    owned_through: dict[str, tuple[tuple[str, str], ...]]
    patients_of: tuple[tuple[str, str, str], ...]
    binary_contexts: frozenset[str]
    protected_tag_systems: frozenset[str]


@cache
def policy() -> Policy:
    """Return the policy, read once."""
    content = (files("conformance") / "policies" / "access.json").read_bytes()
    return msgspec.json.decode(content, type=Policy)
