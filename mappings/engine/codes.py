"""Code tables: native codes, their displays, and what FHIR says instead.

A table is data (YAML, JSON or TSV). It is looked up both ways, by the whole code or by the longest prefix (a
province appends digits to national codes), and published as CodeSystem, ValueSet and ConceptMap.
https://hl7.org/fhir/R4/codesystem.html, valueset.html, conceptmap.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mappings.engine.systems import Systems, common

Coding = dict[str, Any]


@dataclass(frozen=True, eq=False)
class CodeTable:
    """One table. ``display``: native code → words. ``to``: native code → FHIR code, in ``target`` (a system).

    ``back``: FHIR code → the native code that is written for it. ``system``: address of the native codes; ""
    when they are no code system of anybody's. ``prefix``: a code that is not listed is understood by its
    longest listed prefix.
    """

    name: str
    system: str = ""
    title: Mapping[str, str] = field(default_factory=dict)
    display: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    to: Mapping[str, str] = field(default_factory=dict)
    back: Mapping[str, str] = field(default_factory=dict)
    target_display: Mapping[str, str] = field(default_factory=dict)
    prefix: bool = False

    def known(self, code: str) -> str | None:
        """Return the listed code for ``code``: itself, or (``prefix``) its longest prefix; else None."""
        if code in self.display or code in self.to:
            return code
        if self.prefix:
            for end in range(len(code) - 1, 0, -1):
                if code[:end] in self.display or code[:end] in self.to:
                    return code[:end]
        return None

    @property
    def natives(self) -> tuple[str, ...]:
        """All native codes."""
        return tuple(dict.fromkeys((*self.display, *self.to)))

    def native_for(self, code: str) -> str | None:
        """Return the native code that is written for a FHIR code; None when none means it."""
        if code in self.back:
            return self.back[code]
        return next((native for native, fhir in self.to.items() if fhir == code), None)


@dataclass(frozen=True, eq=False)
class Tables:
    """Code tables by name; a map's own come before its format's, those before the common ones."""

    tables: Mapping[str, CodeTable]

    def __getitem__(self, name: str) -> CodeTable:
        return self.tables[name]

    def __contains__(self, name: object) -> bool:
        return name in self.tables

    def __iter__(self) -> Iterator[str]:
        return iter(self.tables)

    def with_own(self, own: Mapping[str, CodeTable]) -> Tables:
        """Return these tables and ``own``, which come first."""
        return Tables({**self.tables, **own})


def table_of(name: str, data: Mapping[str, Any], systems: Systems | None = None) -> CodeTable:
    """Make a table of its data; ValueError with a sentence when something in it does not hold.

    ``data``: system, title, display {native: words}, target (system of the FHIR codes), map {native: fhir},
    back {fhir: native}, target-display {fhir: words}, prefix (true | false).
    """
    allowed = {"system", "title", "display", "target", "map", "back", "target-display", "prefix"}
    unknown = data.keys() - allowed
    if unknown:
        raise ValueError(f"The key '{min(unknown)}' is not known here (keys: {', '.join(sorted(allowed))}).")
    to, display, back = (_texts(data.get(key, {})) for key in ("map", "display", "back"))
    if not to and not display:
        raise ValueError("A code table needs a map or a display of each code.")
    wrong = next((code for code, native in back.items() if to.get(native) != code), None)
    if wrong is not None:
        raise ValueError(f"back: '{wrong}' goes to a native code that the map does not give that meaning.")
    find = (systems or common()).system

    def address(key: str) -> str:
        named = str(data.get(key) or "").replace("{base}", common().base)
        try:
            return find(named) if named else ""
        except KeyError:
            raise ValueError(f"'{named}' is no known system.") from None

    return CodeTable(
        name=name,
        system=address("system"),
        title=_texts(data.get("title", {})),
        display=display,
        target=address("target"),
        to=to,
        back=back,
        target_display=_texts(data.get("target-display", {})),
        prefix=str(data.get("prefix", False)).lower() == "true",
    )


def _texts(data: Any) -> dict[str, str]:
    if not isinstance(data, Mapping):
        raise ValueError("An object of texts is expected.")  # noqa: TRY004 - a table's one error
    return {str(key): str(value) for key, value in data.items()}


def read_tsv(path: Path, name: str, system: str, *, prefix: bool = False) -> CodeTable:
    """Read lines of ``code<TAB>display`` as a table."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("\t") for line in lines if line and not line.startswith("#"))
    return CodeTable(name, system, display={code: display for code, _, display in pairs}, prefix=prefix)


def code_system(table: CodeTable, version: str = "1") -> dict[str, Any]:
    """Publish the native codes as a CodeSystem. https://hl7.org/fhir/R4/codesystem.html"""
    return {
        "resourceType": "CodeSystem",
        "url": table.system,
        "version": version,
        "name": _name(table.name),
        **_titled(table),
        "status": "active",
        "content": "complete",
        "valueSet": _sibling(table, "ValueSet"),
        "count": len(table.natives),
        "concept": [
            {"code": code, **({"display": table.display[code]} if table.display.get(code) else {})}
            for code in table.natives
        ],
    }


def value_set(table: CodeTable, version: str = "1") -> dict[str, Any]:
    """Publish a ValueSet of all native codes. https://hl7.org/fhir/R4/valueset.html"""
    return {
        "resourceType": "ValueSet",
        "url": _sibling(table, "ValueSet"),
        "version": version,
        "name": _name(table.name),
        **_titled(table),
        "status": "active",
        "compose": {"include": [{"system": table.system}]},
    }


def concept_map(table: CodeTable, version: str = "1") -> dict[str, Any] | None:
    """Publish what FHIR says for each native code as a ConceptMap; None for a table that says nothing of it.

    Codes that share a meaning are wider there than here. https://hl7.org/fhir/R4/conceptmap.html
    """
    if not table.to or not table.system:
        return None
    shared = {code for code in table.to.values() if list(table.to.values()).count(code) > 1}
    group: dict[str, Any] = {"source": table.system, **({"target": table.target} if table.target else {})}
    group["element"] = [
        {
            "code": native,
            "target": [{"code": code, "equivalence": "wider" if code in shared else "equivalent"}],
        }
        for native, code in table.to.items()
    ]
    return {
        "resourceType": "ConceptMap",
        "url": _sibling(table, "ConceptMap"),
        "version": version,
        "name": _name(table.name),
        **_titled(table),
        "status": "active",
        "sourceUri": _sibling(table, "ValueSet"),
        "group": [group],
    }


def _sibling(table: CodeTable, type_: str) -> str:
    if "/CodeSystem/" in table.system:
        return table.system.replace("/CodeSystem/", f"/{type_}/")
    return f"{common().base}/{type_}/{table.name}"


def _titled(table: CodeTable) -> dict[str, Any]:
    words = " ".join(table.title[key] for key in ("en", "zh") if key in table.title)
    return {"title": words} if words else {}


def _name(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.replace("_", "-").split("-"))
