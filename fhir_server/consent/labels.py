"""Which security labels the house's rules give a resource: data in ``conformance/policies/labels.json``.

Pure: what a rule needs to know of other resources (a patient's birth, the labels of what a container holds)
is passed in. docs/labels.md explains every rule. https://hl7.org/fhir/R4/security-labels.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from fhir_server.consent.policy import CONFIDENTIALITY, policy
from fhir_server.resources.reference import parse
from fhir_server.search.dates import span

Tree = dict[str, Any]
Label = tuple[str, str]
"""System and code of a label."""

_codes = re.compile(rb'"code":"([^"\\]+)"').findall
_references = re.compile(rb'"reference":"([^"\\]+)"').findall
_CATEGORY: Final = 2
"""So many characters of a code say whether any prefix of a rule may fit: two, as in F1 for F10 to F19."""


class _Family(msgspec.Struct, frozen=True):
    prefix: bool
    systems: tuple[str, ...]


class _Rule(msgspec.Struct, frozen=True):
    name: str
    title: dict[str, str]
    labels: dict[str, str]
    codes: dict[str, tuple[str, ...]]


class _Minors(msgspec.Struct, frozen=True):
    years: int
    title: dict[str, str]
    labels: dict[str, str]


class _File(msgspec.Struct, frozen=True):
    systems: dict[str, str]
    families: dict[str, _Family]
    rules: tuple[_Rule, ...]
    minors: _Minors
    containers: tuple[str, ...]
    contents: tuple[str, ...]


@dataclass(frozen=True)
class Rules:
    """The rules, made ready to be asked of every write.

    ``exact``, ``prefixes``: system → code, or beginning of a code → labels. ``suspects``: codes and first
    characters of codes that some rule may fit, whatever their system. ``digest``: differs when a rule does.
    """

    systems: frozenset[str]
    exact: Mapping[str, Mapping[str, tuple[Label, ...]]]
    prefixes: Mapping[str, Mapping[str, tuple[Label, ...]]]
    suspects: frozenset[bytes]
    minors: tuple[Label, ...]
    years: int
    containers: frozenset[str]
    contents: frozenset[str]
    digest: str

    def of_codes(self, tree: Tree, body: bytes) -> list[Label]:
        """Return the labels that the codes anywhere in a resource ask for; ``body``: its canonical JSON."""
        suspects = self.suspects
        if not any(code in suspects or code[:_CATEGORY] in suspects for code in _codes(body)):
            return []
        return list(dict.fromkeys(label for each in _codings(tree) for label in self._of(*each)))

    def of_age(self, birth_date: str, at: int, zone: tzinfo) -> Sequence[Label]:
        """Return the labels of what was recorded ``at`` (ms) about who was born on ``birth_date``."""
        return self.minors if at < came_of_age(birth_date, self.years, zone) else ()

    def held(self, type_: str, body: bytes, base: str = "") -> list[str]:
        """Return the references (``Type/id``) to what a container holds; [] for what is no container.

        ``base``: the address below which an absolute reference leads to this server.
        """
        if type_ not in self.containers:
            return []
        found = (parse(text.decode(), base) for text in dict.fromkeys(_references(body)))
        return list(dict.fromkeys(each.local for each in found if each.local and each.type in self.contents))

    def handed_on(self, security: Iterable[Any]) -> Iterator[Label]:
        """Yield those of a content's labels that its container must bear too (high-water mark)."""
        for coding in security:
            if isinstance(coding, dict) and coding.get("system") in self.systems:
                yield str(coding["system"]), str(coding.get("code", ""))

    def _of(self, system: str, code: str) -> Iterator[Label]:
        yield from self.exact.get(system, {}).get(code, ())
        prefixes = self.prefixes.get(system)
        if prefixes:
            for length in range(_CATEGORY, len(code) + 1):
                yield from prefixes.get(code[:length], ())


def came_of_age(birth_date: str, years: int, zone: tzinfo) -> int:
    """Return the instant (ms) at which who was born on ``birth_date`` is so many years old.

    The last one that is possible when day or month are not given; 0 for what is no date.
    """
    try:
        year = int(birth_date[:4]) + years
        text = f"{year:04d}{birth_date[4:]}"
        if text[4:] == "-02-29":
            text = f"{year:04d}-03-01"
        low, high = span(text, zone)
    except ValueError:
        return 0
    return low if len(birth_date) == len("2000-01-01") else high + 1


def highest(labels: Iterable[Label]) -> list[Label]:
    """Return the labels, each once; of an ordered kind (confidentiality, data level) the highest alone."""
    kept: dict[Label, None] = dict.fromkeys(labels)
    for system, ordered in policy().ordered.items():
        codes = [code for each, code in kept if each == system and code in ordered.order]
        top = max(codes, key=ordered.order.index, default=None)
        for code in codes:
            if code != top:
                kept.pop((system, code), None)
    return list(kept)


def read_rules(content: bytes) -> Rules:
    """Read a rule file; raises ``msgspec.ValidationError`` or ``ValueError`` with what is wrong in it."""
    data = msgspec.json.decode(content, type=_File)
    exact: dict[str, dict[str, tuple[Label, ...]]] = {}
    prefixes: dict[str, dict[str, tuple[Label, ...]]] = {}
    suspects: set[bytes] = set()
    for rule in data.rules:
        labels = _labels(data, rule.labels)
        for family, codes in rule.codes.items():
            if family not in data.families:
                raise ValueError(f"Rule {rule.name} speaks of {family}, which is no family of code systems.")
            kind = data.families[family]
            for code in codes:
                if kind.prefix and len(code) < _CATEGORY:
                    raise ValueError(f"Rule {rule.name}: {code!r} is too short for the beginning of a code.")
                suspects.add(code[:_CATEGORY].encode() if kind.prefix else code.encode())
                for system in kind.systems:
                    table = (prefixes if kind.prefix else exact).setdefault(system, {})
                    table[code] = (*table.get(code, ()), *labels)
    return Rules(
        systems=frozenset(data.systems.values()) | {CONFIDENTIALITY},
        exact=exact,
        prefixes=prefixes,
        suspects=frozenset(suspects),
        minors=_labels(data, data.minors.labels),
        years=data.minors.years,
        containers=frozenset(data.containers),
        contents=frozenset(data.contents),
        digest=_digest(content),
    )


@cache
def rules(path: Path | None = None) -> Rules:
    """Return the rules of a file, or the house's own; read once."""
    own = files("conformance") / "policies" / "labels.json"
    return read_rules(path.read_bytes() if path is not None else own.read_bytes())


def _labels(data: _File, wanted: Mapping[str, str]) -> tuple[Label, ...]:
    unknown = wanted.keys() - data.systems.keys()
    if unknown:
        raise ValueError(f"{min(unknown)} is no system of labels; the file's systems are.")
    return tuple((data.systems[name], code) for name, code in wanted.items())


def _digest(content: bytes) -> str:
    return sha256(msgspec.json.format(content, indent=0)).hexdigest()[:16]


def _codings(node: Any) -> Iterator[tuple[str, str]]:
    """Yield (system, code) of every Coding in a tree, contained resources and entries included."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            system, code = node.get("system"), node.get("code")
            if isinstance(system, str) and isinstance(code, str):
                yield system, code
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
