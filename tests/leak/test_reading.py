"""What may not be seen is not there: every route × every caller, against a server that never held it.

Each row is asked of two servers, one with the hidden patient and one without. Status, body, total, links and
headers must be the same (instants and page tokens apart): then no difference tells anything of it.
``shows`` is the positive twin: what the same caller is shown by the same route.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.http.server import bundle, entry
from tests.leak.house import CALLERS, ROOT, SECRET, SECRET_CODE, Guarded, Route, not_there

pytestmark = pytest.mark.every_engine(one_in=4)


def sought(family: str) -> Any:
    """Return the Parameters of $match for the one of a family name."""
    patient = {
        "resourceType": "Patient",
        "name": [{"family": family, "given": ["Ada"]}],
        "identifier": [{"system": "urn:tag", "value": family}],
        "gender": "female",
    }
    return {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": patient}]}


FORM = {"content_type": "application/x-www-form-urlencoded"}
FHIR = {"accept": "application/fhir+json"}
ROUTES = [
    Route("read", "Patient/hidden"),
    Route("read", "Patient/mine", "Minear"),
    Route("read of an observation", "Observation/hidden-1"),
    Route("read of an observation", "Observation/mine-1", "1111-1"),
    Route("read of a device", "Device/hidden-device"),
    Route("read of a device", "Device/free-device", "free-device"),
    Route("read of a binary", "Binary/hidden-scan"),
    Route("read of a binary without a context", "Binary/hidden-orphan"),
    Route("read of a binary", "Binary/mine-scan", "plain"),
    Route("read of a binary as a resource", "Binary/hidden-scan", headers=FHIR),
    Route("read of a binary as a resource", "Binary/mine-scan", "cGxhaW4=", headers=FHIR),
    Route("read of a binary of a type", "Binary/hidden-scan", headers={"accept": "text/plain"}),
    Route("read of a binary of another type", "Binary/hidden-scan", headers={"accept": "image/png"}),
    Route("vread of a binary", "Binary/hidden-scan/_history/1"),
    Route("vread of a binary", "Binary/mine-scan/_history/1", "plain"),
    Route("head of a binary", "Binary/hidden-scan", method="HEAD"),
    Route("history of a binary", "Binary/hidden-scan/_history"),
    Route("conditional read of a binary", "Binary/hidden-scan", headers={"if_none_match": 'W/"1"'}),
    Route("search of binaries", "Binary?_count=50", "mine-scan"),
    Route("read of what was deleted", "Observation/hidden-gone"),
    Route("read in XML", "Patient/hidden?_format=xml"),
    Route("head", "Patient/hidden", method="HEAD"),
    Route("vread", "Observation/hidden-1/_history/1"),
    Route("vread", "Observation/mine-1/_history/1", "1111-1"),
    Route("vread of what was deleted", "Observation/hidden-gone/_history/2"),
    Route("instance history", "Observation/hidden-1/_history"),
    Route("instance history", "Observation/mine-1/_history", "1111-1"),
    Route("instance history of what was deleted", "Observation/hidden-gone/_history"),
    Route("type history", "Observation/_history?_count=50", "mine-gone"),
    Route("system history", "_history?_count=50", "mine-gone"),
    Route("search", "Observation?_count=50", "mine-1"),
    Route("search in XML", "Observation?_count=50&_format=xml", "mine-1"),
    Route("search by a value", f"Observation?code={SECRET_CODE}"),
    Route("search by a name", f"Patient?name={SECRET}"),
    Route("search by post", "Observation/_search", "mine-1", "POST", "_count=50", FORM),
    Route("search of the system", "?_type=Patient,Observation&_count=50", "mine-1"),
    Route("contained", "Medication?_contained=true&_total=accurate", "mine-order"),
    Route("contained, told alone", "Medication?_contained=true&_containedType=contained", "mine-order#drug"),
    Route("contained, by what they are", f"Medication?_contained=true&code={SECRET_CODE}"),
    Route("contained, by what they are not", "Medication?_contained=true&code:not=1111-1&_total=accurate"),
    Route("contained and others", "Medication?_contained=both&_total=accurate&_count=50", "mine-order"),
    Route("contained, one a page", "Medication?_contained=both&_containedType=contained&_count=1", '"next"'),
    Route(
        "number of contained",
        "Medication?_contained=true&_containedType=contained&_summary=count",
        '"total":1',
    ),
    Route(
        "number of containers", f"Medication?_contained=true&code={SECRET_CODE}&_summary=count", '"total":0'
    ),
    Route("total", "Observation?_total=accurate&_count=1", '"total":'),
    Route("count", "Observation?_summary=count", '"total":'),
    Route("count", f"Observation?code={SECRET_CODE}&_summary=count", '"total":0'),
    Route("include", "Observation?_include=Observation:focus&_count=50", "mine-1"),
    Route("include", "Observation?_include=Observation:subject&_count=50", "Minear"),
    Route("include of any type", "Observation?_include=*&_count=50", "Minear"),
    Route("include of what it is derived from", "Observation?_include=Observation:derived-from", "mine-1"),
    Route("iterated include", "Observation?_include:iterate=Observation:focus&_count=50", "mine-1"),
    Route("include of devices", "Patient?_revinclude=Device:patient", "mine-device"),
    Route("revinclude", "Patient?_revinclude=Observation:subject", "mine-1"),
    Route("revinclude by focus", "Patient?_revinclude=Observation:focus", "Minear"),
    Route("revinclude of any type", "Patient?_revinclude=*", "mine-1"),
    Route(
        "iterated revinclude",
        "Patient?_revinclude=Observation:subject&_revinclude:iterate=Observation:derived-from",
        "mine-1",
    ),
    Route("chain", f"Observation?subject:Patient.name={SECRET}"),
    Route("chain", "Observation?subject:Patient.name=Minear", "mine-1"),
    Route("chain by focus", f"Observation?focus:Patient.name={SECRET}"),
    Route("chain by focus", "Observation?focus:Patient.gender=female"),
    Route("chain through a derivation", f"Observation?derived-from:Observation.code={SECRET_CODE}"),
    Route("reverse chain", f"Patient?_has:Observation:subject:code={SECRET_CODE}"),
    Route("reverse chain", "Patient?_has:Observation:subject:code=1111-1", "Minear"),
    Route("reverse chain by focus", f"Patient?_has:Observation:focus:code={SECRET_CODE}"),
    Route("compartment search", "Patient/hidden/Observation"),
    Route("compartment search", "Patient/mine/Observation?_count=50", "mine-1"),
    Route("compartment search of all types", "Patient/hidden/*"),
    Route("compartment of an encounter", "Encounter/hidden-visit/Observation"),
    Route("list of ids", "Patient?_id=mine,hidden", "Minear"),
    Route("list of ids", "Observation?_id=hidden-1,hidden-focus,hidden-gone"),
    Route("search by a reference", "Observation?subject=Patient/hidden"),
    Route("search by a reference", "Observation?focus=Patient/mine"),
    Route("sort", "Patient?_sort=family", "Minear"),
    Route("sort", "Observation?_sort=-_lastUpdated&_count=50", "mine-1"),
    Route("missing", "Device?patient:missing=true", "free-device"),
    Route("negation", "Observation?code:not=1111-1"),
    Route("conditional read", "Patient/hidden", headers={"if_none_match": 'W/"1"'}),
    Route("conditional read", "Patient/hidden", headers={"if_none_match": "*"}),
    Route(
        "conditional read", "Patient/hidden", headers={"if_modified_since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    ),
    Route("everything", "Patient/hidden/$everything"),
    Route("everything", "Patient/mine/$everything", "mine-1"),
    Route("everything of all", "Patient/$everything", "mine-1"),
    Route("meta", "Observation/hidden-1/$meta"),
    Route("meta", "Observation/mine-1/$meta", "versionId"),
    Route("meta of a type", "Observation/$meta", "Parameters"),
    Route("lastn", f"Observation/$lastn?patient=Patient/hidden&code={SECRET_CODE}"),
    Route("lastn", "Observation/$lastn?patient=Patient/mine&code=1111-1", "mine-"),
    Route("match", "Patient/$match", "Bundle", "POST", sought(SECRET)),
    Route("match", "Patient/$match", '"id":"mine"', "POST", sought("Minear")),
    Route("members of a list", "Observation?_list=mine-list", "mine-1"),
    Route("validate", "Observation/hidden-1/$validate"),
    Route("validate", "Observation/mine-1/$validate", "OperationOutcome"),
    Route("validate a deletion", "Observation/hidden-1/$validate?mode=delete"),
    Route("delete probe", "Observation/hidden-1", method="DELETE", headers={"if_match": 'W/"9"'}),
    Route("delete probe", "Observation/hidden-1", method="DELETE"),
    Route("conditional delete probe", f"Observation?code={SECRET_CODE}", method="DELETE"),
    Route("patch probe", "Observation/hidden-1", method="PATCH", body=[]),
    Route(
        "conditional patch probe",
        f"Patient?identifier={quote('urn:tag|')}{SECRET}",
        method="PATCH",
        body=[{"op": "replace", "path": "/gender", "value": "male"}],
    ),
    Route("page link that nobody gave", "Observation?_page=AAAA"),
]

ENTRIES = [
    ("GET", "Patient/hidden"),
    ("GET", "Observation/mine-1"),
    ("GET", f"Observation?code={SECRET_CODE}"),
    ("GET", "Patient?_has:Observation:focus:status=final"),
    ("GET", "Patient/hidden/$everything"),
    ("GET", "_history?_count=50"),
]


def asked_together(kind: str) -> Route:
    """Return a batch or a transaction of reads."""
    return Route(kind, "", "1111-1", "POST", bundle(kind, (entry(method, url) for method, url in ENTRIES)))


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.name}: {route.path}"[:70])
def test_what_is_hidden_might_as_well_not_be_there(
    house: Guarded, twin: Guarded, route: Route, caller: str
) -> None:
    not_there(house, twin, route, CALLERS[caller])


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_an_entry_of_a_bundle_is_told_no_more(house: Guarded, twin: Guarded, kind: str, caller: str) -> None:
    not_there(house, twin, asked_together(kind), CALLERS[caller])


@pytest.mark.parametrize("caller", CALLERS)
def test_hidden_and_unknown_are_the_same_to_the_letter(house: Guarded, caller: str) -> None:
    with house.as_(CALLERS[caller]):
        for path in ("Patient/{}", "Patient/{}/_history", "Patient/{}/_history/1", "Patient/{}/$everything"):
            hidden, unknown = (house.get(path.format(id_)) for id_ in ("hidden", "absent"))

            assert hidden.status_code == unknown.status_code == 404
            assert hidden.text == unknown.text.replace("absent", "hidden")
            assert set(hidden.headers) == set(unknown.headers)


def test_the_house_itself_sees_what_the_others_do_not(house: Guarded) -> None:
    """The positive twin of all: what is hidden is there, and in every route."""
    with house.as_(ROOT):
        assert SECRET in house.get("Patient/hidden").text
        assert "hidden-1" in house.get(f"Observation?subject:Patient.name={SECRET}").text
        assert house.get("Observation/hidden-gone").status_code == 410
        assert house.get("Binary/hidden-scan").status_code == 200


@pytest.mark.parametrize("caller", CALLERS)
def test_a_page_link_is_nobody_elses(house: Guarded, caller: str) -> None:
    with house.as_(CALLERS[caller]):
        first = house.get("Observation?_count=1").json()
        link = next(each["url"] for each in first["link"] if each["relation"] == "next")
        assert house.get(link).status_code == 200
    for other in CALLERS.keys() - {caller}:
        with house.as_(CALLERS[other]):
            refused = house.get(link)

        assert refused.status_code == 404
        assert "mine" not in refused.text
