"""Write the compact R4 tables under ``conformance/r4``: ``python -m conformance.generate [FOLDER]``.

One line per type, parameter, value set, compartment and operation, so that a change of the definitions is a
readable diff. Validator, extractor and CapabilityStatement are made from these tables and nothing else.
https://hl7.org/fhir/R4/downloads.html
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from conformance.source import Json, fetch, resources, search_parameters, structures
from conformance.valuesets import expansions

TABLES = Path(__file__).parent / "r4"
_SYSTEM_TYPE = "http://hl7.org/fhirpath/System."
_FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
_UNIVERSAL_RULES = {"ele-1", "ext-1"}


def main(argv: list[str]) -> None:
    """Read the definitions (from FOLDER, or freshly fetched) and write every table."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(argv[1]) if len(argv) > 1 else fetch(Path(scratch))
        valuesets = expansions(folder)
        types = [row for structure in structures(folder) for row in type_rows(structure, valuesets)]
        used = {element["binding"] for row in types for element in row["elements"] if "binding" in element}
        _write("types", sorted(types, key=lambda row: row["name"]))
        _write("valuesets", [{"url": url, "codes": valuesets[url]} for url in sorted(used)])
        _write("parameters", sorted(parameter_rows(folder), key=lambda row: row["url"]))
        _write("compartments", compartment_rows(folder))
        _write("operations", sorted(operation_rows(folder), key=lambda row: row["id"]))


def _write(name: str, rows: Iterable[Json]) -> None:
    text = "\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    (TABLES / f"{name}.jsonl").write_text(text + "\n", encoding="utf-8")


def type_rows(structure: Json, valuesets: dict[str, dict[str, list[str]]]) -> list[Json]:
    """Turn one StructureDefinition into a row for the type and one per backbone element (named by path)."""
    name = structure["name"]
    if structure["kind"] == "primitive-type":
        return [{"name": name, "kind": "primitive", "elements": []}]
    elements = structure["snapshot"]["element"]
    backbones = {
        e["path"] for e in elements[1:] if any(o["path"].startswith(e["path"] + ".") for o in elements)
    }
    rows = {
        name: {
            "name": name,
            "kind": "resource" if structure["kind"] == "resource" else "complex",
            **({"abstract": True} if structure["abstract"] else {}),
            "elements": [],
            "rules": _rules(elements[0]),
        }
    }
    for element in elements[1:]:
        path = element["path"]
        if element["max"] == "0":
            continue
        if path in backbones:
            rows[path] = {"name": path, "kind": "backbone", "elements": [], "rules": _rules(element)}
        row = _element(element, structure, valuesets)
        if path in backbones:
            row["types"] = [path]
            row.pop("rules", None)
        rows[path.rpartition(".")[0]]["elements"].append(row)
    return list(rows.values())


def _rules(element: Json) -> list[Json]:
    return [
        {"key": c["key"], "severity": c["severity"], "expression": c["expression"], "human": c["human"]}
        for c in element.get("constraint", [])
        if c.get("expression") and c["key"] not in _UNIVERSAL_RULES
    ]


def _element(element: Json, structure: Json, valuesets: dict[str, dict[str, list[str]]]) -> Json:
    name = element["path"].rpartition(".")[2]
    row: Json = {"name": name.removesuffix("[x]"), "min": element["min"], "max": element["max"]}
    if name.endswith("[x]"):
        row["choice"] = True
    if "contentReference" in element:
        row["types"] = [element["contentReference"].partition("#")[2]]
    else:
        row["types"] = [_type_code(t, element["path"], structure) for t in element["type"]]
    targets = [
        url.rpartition("/")[2]
        for t in element.get("type", [])
        if t["code"] == "Reference"
        for url in t.get("targetProfile", [])
    ]
    if targets:
        row["targets"] = sorted(set(targets))
    binding = element.get("binding", {})
    url = binding.get("valueSet", "").partition("|")[0]
    if binding.get("strength") == "required" and url in valuesets:
        row["binding"] = url
    if element.get("isSummary"):
        row["summary"] = True
    if element.get("isModifier"):
        row["modifier"] = True
    rules = _rules(element)
    if rules:
        row["rules"] = rules
    return row


def _type_code(type_: Json, path: str, structure: Json) -> str:
    code: str = type_["code"]
    if not code.startswith(_SYSTEM_TYPE):
        return code
    if path == "Extension.url":
        return "uri"
    if path.endswith(".id"):
        return "id" if structure["kind"] == "resource" and path.count(".") == 1 else "string"
    named = [
        e.get("valueUrl") or e.get("valueUri") for e in type_.get("extension", []) if e["url"] == _FHIR_TYPE
    ]
    return named[0] if named and named[0] else "string"


def parameter_rows(folder: Path) -> Iterable[Json]:
    """Yield every SearchParameter of 4.0.1."""
    for parameter in search_parameters(folder):
        fields = ("url", "code", "type", "base", "expression", "target")
        row: Json = {key: parameter[key] for key in fields if key in parameter}
        if "component" in parameter:
            row["component"] = [
                {"definition": c["definition"], "expression": c["expression"]} for c in parameter["component"]
            ]
        yield row


def compartment_rows(folder: Path) -> list[Json]:
    """Return the five compartments: which parameters put a resource of which type into them."""
    rows = []
    for definition in resources(folder / "profiles-resources.json"):
        if definition["resourceType"] == "CompartmentDefinition":
            members = {r["code"]: r["param"] for r in definition["resource"] if r.get("param")}
            rows.append({"code": definition["code"], "members": members})
    return sorted(rows, key=lambda row: row["code"])


def operation_rows(folder: Path) -> Iterable[Json]:
    """Yield every OperationDefinition of 4.0.1: levels, types, parameters."""
    for operation in resources(folder / "profiles-resources.json"):
        if operation["resourceType"] == "OperationDefinition":
            yield {
                "id": operation["id"],
                "code": operation["code"],
                "resource": operation["resource"],
                "system": operation["system"],
                "type": operation["type"],
                "instance": operation["instance"],
                "parameter": [
                    {key: p[key] for key in ("name", "use", "min", "max", "type") if key in p}
                    for p in operation.get("parameter", [])
                ],
            }


if __name__ == "__main__":
    main(sys.argv)
