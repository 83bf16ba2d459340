"""A few records, and for each way of asking what it finds among them.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.search.extract import Extractor
from fhir_server.search.predicate import Predicate
from fhir_server.search.terms import Codes, Direction
from fhir_server.search.values import Values
from tests.unit.search.asking import ZONE, where

UCUM = "http://unitsofmeasure.org"
EXTRACTOR = Extractor(ZONE, full_text=True)


def resource(type_: str, id_: str, **elements: Any) -> tuple[str, str, Values]:
    return type_, id_, EXTRACTOR.extract({"resourceType": type_, "id": id_, **elements})


def refers(target: str) -> dict[str, str]:
    return {"reference": target}


def concept(system: str, code: str, text: str = "", display: str = "") -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": text}


def measured(value: float, code: str) -> dict[str, Any]:
    return {"value": value, "system": UCUM, "code": code, "unit": code}


def pressure(systolic: int, diastolic: int) -> list[dict[str, Any]]:
    return [
        {"code": concept("http://loinc.org", "8480-6"), "valueQuantity": measured(systolic, "mm[Hg]")},
        {"code": concept("http://loinc.org", "8462-4"), "valueQuantity": measured(diastolic, "mm[Hg]")},
    ]


def at(latitude: float, longitude: float) -> dict[str, float]:
    return {"latitude": latitude, "longitude": longitude}


def narrative(text: str) -> dict[str, str]:
    return {"status": "generated", "div": f"<div>{text}</div>"}


REPLACED = {"code": "replaces", "target": refers("DocumentReference/0")}
GLUCOSE = concept("s", "glu", "Blood glucose")
MR = concept("http://v2", "MR", "病历号")
RECORDS = [
    resource(
        "Patient",
        "zhang",
        name=[{"family": "张", "given": ["伟"]}],
        identifier=[{"type": MR, "system": "urn:h", "value": "9"}],
        address=[{"state": "四川省", "city": "成都市", "district": "武侯区", "line": ["国学巷37号"]}],
        gender="male",
        text=narrative("高血压 and <b>asthma</b>"),
    ),
    resource(
        "Patient",
        "shan",
        name=[{"text": "单雄信"}],
        identifier=[{"system": "urn:h", "value": "9"}],
        address=[{"text": "四川省绵阳市"}],
        text=narrative("糖尿病"),
    ),
    resource("Patient", "li", name=[{"family": "Li", "given": ["Zhang Mei"]}], gender="unknown"),
    resource("Observation", "low", code=GLUCOSE, valueQuantity=measured(54, "mg/L")),
    resource("Observation", "high", code=concept("s", "glu"), valueQuantity=measured(2, "g/L")),
    resource("Observation", "odd", code=concept("s", "ins"), valueQuantity=measured(5, "[iU]/L")),
    resource("Observation", "bp", component=pressure(150, 80), code=concept("s", "bp", display="血压")),
    resource("Observation", "bp2", component=pressure(120, 110), code=concept("s", "bp")),
    resource("Location", "site", position=at(30.66, 104.06), name="Site"),
    resource("Location", "ward", position=at(30.70, 104.06), partOf=refers("Location/site")),
    resource("Location", "room", position=at(39.9, 116.4), partOf=refers("Location/ward")),
    resource("Encounter", "e1", location=[{"location": refers("Location/room")}]),
    resource("Encounter", "e2", location=[{"location": refers("Location/site")}]),
    resource("ValueSet", "v1", url="http://acme.org/fhir/ValueSet/1", title="First values"),
    resource("ValueSet", "v2", url="http://acme.org/fhir", title="Second VALUES"),
    resource("ValueSet", "v3", url="http://acme.org/fhirs", title="Third"),
    resource("DocumentReference", "d", relatesTo=[REPLACED]),
    resource("Group", "g", characteristic=[{"code": concept("s", "a"), "valueBoolean": True}]),
]


class Sets:
    """Two value sets and one hierarchy."""

    def expand(self, value_set: str) -> Codes:
        known = {"http://vs/lab": {("s", "glu"), ("s", "ins")}, "http://vs/sex": {(GENDER, "male")}}
        return frozenset(known.get(value_set, ()))

    def subsumed(self, system: str, code: str, direction: Direction) -> Codes:
        return frozenset({(system, code), (system, "glu" if direction == "below" else "top")})


GENDER = "http://hl7.org/fhir/administrative-gender"


def meant(type_: str, name: str, value: str) -> Predicate:
    """Return the predicate of a search that may ask for anything."""
    return where(type_, name, value, terminology=Sets(), full_text=True)


ASKED = [
    # names as they sound
    ("Patient", "name", "zhangwei", "zhang"),
    ("Patient", "name", "Zhang Wei", "zhang"),
    ("Patient", "name", "zw", "zhang"),
    ("Patient", "name", "zhang", "zhang li"),
    ("Patient", "family", "zhang", "zhang"),
    ("Patient", "family", "zhangwei", ""),
    ("Patient", "name", "shanxiongxin", "shan"),
    ("Patient", "name", "danxiong", "shan"),
    ("Patient", "name", "sxx", "shan"),
    ("Patient", "name", "雄信", ""),
    ("Patient", "name:contains", "雄信", "shan"),
    ("Patient", "name:exact", "zhangwei", ""),
    ("Patient", "name:exact", "张", "zhang"),
    # addresses by division
    ("Patient", "address", "四川省", "zhang shan"),
    ("Patient", "address", "四川省成都", "zhang"),
    ("Patient", "address", "成都市武侯", "zhang"),
    ("Patient", "address", "武侯区国学巷", "zhang"),
    ("Patient", "address", "四川成都", ""),
    # strings
    ("ValueSet", "title:contains", "values", "v1 v2"),
    ("ValueSet", "title:contains", "ir", "v1 v3"),
    ("ValueSet", "title:contains", "nothing", ""),
    # tokens
    ("Observation", "code:text", "blood", "low"),
    ("Observation", "code:text", "血", "bp"),
    ("Observation", "code:text", "glucose", ""),
    ("Patient", "identifier:of-type", "http://v2|MR|9", "zhang"),
    ("Patient", "identifier:of-type", "http://v2|DL|9", ""),
    ("Patient", "identifier:text", "病历", "zhang"),
    ("Observation", "code:in", "http://vs/lab", "low high odd"),
    ("Observation", "code:not-in", "http://vs/lab", "bp bp2"),
    ("Observation", "code:in", "http://vs/none", ""),
    ("Patient", "gender:in", "http://vs/sex", "zhang"),
    ("Patient", "gender:not-in", "http://vs/sex", "shan li"),
    ("Observation", "code:below", "s|lab", "low high"),
    ("Observation", "code:above", "s|ins", "odd"),
    # quantities
    ("Observation", "value-quantity", f"5.4|{UCUM}|mg/dL", "low"),
    ("Observation", "value-quantity", f"gt100|{UCUM}|mg/dL", "high"),
    ("Observation", "value-quantity", f"ge5.4|{UCUM}|mg/dL", "low high"),
    ("Observation", "value-quantity", f"lt5.4|{UCUM}|mg/dL", ""),
    ("Observation", "value-quantity", f"5|{UCUM}|[iU]/L", "odd"),
    ("Observation", "value-quantity", f"0.005|{UCUM}|[iU]/mL", "odd"),
    ("Observation", "value-quantity", f"5|{UCUM}|/L", ""),
    ("Observation", "value-quantity", "54||mg/L", "low"),
    ("Observation", "value-quantity", "5.4||mg/dL", ""),
    ("Observation", "value-quantity", "54", "low"),
    ("Observation", "value-quantity", "0.054", ""),
    # composites
    ("Observation", "component-code-value-quantity", "http://loinc.org|8480-6$gt140", "bp"),
    ("Observation", "component-code-value-quantity", "8462-4$gt100", "bp2"),
    ("Observation", "component-code-value-quantity", f"8480-6$gt18|{UCUM}|kPa", "bp"),
    ("Observation", "component-code-value-quantity", "8480-6$gt140,8462-4$gt100", "bp bp2"),
    ("Observation", "code-value-quantity", f"s|glu$gt1|{UCUM}|g/L", "high"),
    ("Observation", "combo-code-value-quantity", "8480-6$150", "bp"),
    ("Observation", "combo-code-value-quantity", "glu$54", "low"),
    ("Observation", "combo-code-value-quantity:missing", "true", ""),
    ("Observation", "component-code-value-quantity:missing", "false", "bp bp2"),
    ("Observation", "code-value-quantity:missing", "true", "bp bp2"),
    ("DocumentReference", "relationship", "replaces$DocumentReference/0", "d"),
    ("DocumentReference", "relationship", "appends$DocumentReference/0", ""),
    ("Group", "characteristic-value", "s|a$true", "g"),
    ("Group", "characteristic-value", "s|a$false", ""),
    # places
    ("Location", "near", "30.66|104.06|1|km", "site"),
    ("Location", "near", "30.66|104.06|10", "site ward"),
    ("Location", "near", "30.66|104.06", "site ward"),
    ("Location", "near", "30.66|104.06|5000|m", "site ward"),
    ("Location", "near", "30.66|104.06|3|[mi_i]", "site ward"),
    ("Location", "near", "30.66|104.06|25000", "site ward room"),
    ("Location", "near:missing", "true", ""),
    # references and addresses above and below
    ("Encounter", "location:below", "site", "e1 e2"),
    ("Encounter", "location:below", "Location/ward", "e1"),
    ("Encounter", "location:above", "Location/ward", "e2"),
    ("Location", "partof:below", "site", "ward room"),
    ("ValueSet", "url:below", "http://acme.org/fhir", "v1 v2"),
    ("ValueSet", "url:below", "http://acme.org/fhir/ValueSet/", "v1"),
    ("ValueSet", "url:above", "http://acme.org/fhir/ValueSet/1/_history/5", "v1 v2"),
    ("ValueSet", "url:above", "http://acme.org/", ""),
    # words
    ("Patient", "_text", "asthma", "zhang"),
    ("Patient", "_text", "高血压", "zhang"),
    ("Patient", "_text", "血压 ASTHMA", "zhang"),
    ("Patient", "_text", "糖尿病,asthma", "zhang shan"),
    ("Patient", "_text", "糖尿病 asthma", ""),
    ("Patient", "_text", "zhang", ""),
    ("Patient", "_content", "zhang", "li"),
    ("Patient", "_content", "糖尿", "shan"),
    # filters
    ("Patient", "_filter", 'name ew "信" or family eq LI', "shan li"),
    ("Patient", "_filter", "family ne li and name pr true", "zhang"),
    ("Patient", "_filter", 'not (name co "mei") and not (address sw 四川省成都)', "shan"),
    ("Patient", "_filter", "gender pr false or name eq li and gender eq male", ""),
    ("Patient", "_filter", "gender pr false or (name eq li and gender eq male)", "shan"),
    ("Encounter", "_filter", "location.near eq 30.66|104.06|5|km", "e2"),
    ("Encounter", "_filter", "location[partof pr true].near eq 39.9|116.4", "e1"),
    ("Observation", "_filter", "code in http://vs/lab and value-quantity gt 50", "low"),
    ("Observation", "_filter", "code ni http://vs/lab", "bp bp2"),
    ("Observation", "_filter", "code ss s|lab or code sb s|ins", "low high odd"),
    ("Location", "_filter", "partof re Location/site", "ward"),
    ("Observation", "_filter", "component-code-value-quantity eq 8480-6$gt140", "bp"),
]
"""(type, name, value, the ids that are found)."""
