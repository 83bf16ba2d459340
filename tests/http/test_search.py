"""Search: every type of parameter, modifiers, sorting, totals, POST _search, unknown parameters.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.http.samples import CITIZEN, FAMILY, ID_NUMBER, LOINC, PHONE, UCUM, observation, patient
from tests.http.server import BASE, Server, Tree, links, load, matches, refused, served


def put(server: Server, id_: str, tree: Tree) -> None:
    """Store a resource under an id that says what it is for."""
    answer = server.put(f"{tree['resourceType']}/{id_}", {**tree, "id": id_})
    assert answer.status_code == 201, answer.text


def people() -> dict[str, Tree]:
    """Return the Patients of the searches below."""
    zhang = [{"use": "official", "text": "张伟", "family": "张", "given": ["伟"]}]
    return {
        "ada": patient(name=[{"family": FAMILY, "given": ["Ada"]}], birthDate="1970-01-01"),
        "eve": patient("2", name=[{"family": "Müller-Lüdenscheidt", "given": ["Eve"]}], birthDate="1980-05"),
        "wei": patient("3", name=zhang, gender="male", birthDate="1990", active=False),
        "nobody": {"resourceType": "Patient"},
    }


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Fill a server with a few resources under telling ids."""
    with served(Path(tmp_path_factory.mktemp("clinic"))) as server:
        for id_, tree in people().items():
            put(server, id_, tree)
        put(server, "low", observation("Patient/ada", value="99.5", when="2026-01-10T08:30:00+08:00"))
        put(server, "high", observation("Patient/ada", value="180", when="2026-02-20"))
        put(server, "other", observation("Patient/eve", code="718-7", value="7.40", when="2025-12-31"))
        put(server, "risk", risk("Patient/ada", "0.8"))
        put(server, "set", value_set("http://x.example/sets/one"))
        yield server


def risk(subject: str, probability: str) -> Tree:
    """Return a RiskAssessment: the plain number among search parameters."""
    return {
        "resourceType": "RiskAssessment",
        "status": "final",
        "subject": {"reference": subject},
        "prediction": [{"probabilityDecimal": float(probability)}],
    }


def value_set(url: str) -> Tree:
    """Return a ValueSet with a URL to search by."""
    return {"resourceType": "ValueSet", "status": "active", "url": url}


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        # token
        ("Patient?gender=male", {"wei"}),
        ("Patient?gender=male,female", {"ada", "eve", "wei"}),
        ("Patient?gender=http://hl7.org/fhir/administrative-gender|male", {"wei"}),
        ("Patient?active=false", {"wei"}),
        (f"Patient?identifier={CITIZEN}|{ID_NUMBER}", {"ada", "eve", "wei"}),
        ("Patient?identifier=urn:tag|2", {"eve"}),
        ("Patient?identifier=urn:tag|", {"eve", "wei"}),
        ("Patient?identifier=2", {"eve"}),
        ("Patient?identifier=|2", set()),
        ("Patient?gender:not=male", {"ada", "eve", "nobody"}),
        (f"Patient?telecom={PHONE}&gender=male", {"wei"}),
        (f"Observation?code={LOINC}|718-7", {"other"}),
        ("Observation?code=718-7,8480-6", {"low", "high", "other"}),
        ("Observation?code=nonsense", set()),
        # string
        (f"Patient?family={FAMILY}", {"ada"}),
        (f"Patient?family={FAMILY[:4].upper()}", {"ada"}),
        ("Patient?family=muller", {"eve"}),
        ("Patient?name=张", {"wei"}),
        ("Patient?name=张伟", {"wei"}),
        (f"Patient?family={FAMILY[1:]}", set()),
        (f"Patient?family:contains={FAMILY[3:7].lower()}", {"ada"}),
        ("Patient?family:contains=nonsense", set()),
        (f"Patient?family:exact={FAMILY}", {"ada"}),
        (f"Patient?family:exact={FAMILY.lower()}", set()),
        ("Patient?name=ada,eve", {"ada", "eve"}),
        ("Patient?given=ada&family=muller", set()),
        # date
        ("Patient?birthdate=1970-01-01", {"ada"}),
        ("Patient?birthdate=1980", {"eve"}),
        ("Patient?birthdate=1980-05-05", set()),
        ("Patient?birthdate=lt1980", {"ada"}),
        ("Patient?birthdate=ge1980-05", {"eve", "wei"}),
        ("Patient?birthdate=ne1990", {"ada", "eve"}),
        ("Patient?birthdate=ge1975&birthdate=le1985", {"eve"}),
        ("Patient?birthdate=sa1980", {"wei"}),
        ("Patient?birthdate=eb1980", {"ada"}),
        ("Observation?date=2026-01-10", {"low"}),
        ("Observation?date=2026-01-10T00:30:00Z", {"low"}),
        ("Observation?date=2026-01-10T00:30Z", {"low"}),
        ("Observation?date=gt2026-01-10T00:30:00Z", {"high"}),
        ("Observation?date=2026", {"low", "high"}),
        # number and quantity
        ("RiskAssessment?probability=0.8", {"risk"}),
        ("RiskAssessment?probability=gt0.7", {"risk"}),
        ("RiskAssessment?probability=lt0.7", set()),
        ("Observation?value-quantity=7.40", {"other"}),
        ("Observation?value-quantity=7.4", {"other"}),
        ("Observation?value-quantity=7.41", set()),
        (f"Observation?value-quantity=gt100|{UCUM}|mm[Hg]", {"high"}),
        (f"Observation?value-quantity=gt100|{UCUM}|kPa", set()),
        ("Observation?value-quantity=100||mmHg", {"low"}),
        ("Observation?value-quantity=100.0||mmHg", set()),
        ("Observation?value-quantity=99.5||mmHg", {"low"}),
        # reference
        ("Observation?subject=Patient/ada", {"low", "high"}),
        ("Observation?subject=ada", {"low", "high"}),
        ("Observation?patient=ada", {"low", "high"}),
        ("Observation?subject:Patient=eve", {"other"}),
        ("Observation?subject:Group=ada", set()),
        (f"Observation?subject={BASE}/Patient/ada", {"low", "high"}),
        ("Observation?subject=Patient/ada,Patient/eve", {"low", "high", "other"}),
        # uri
        ("ValueSet?url=http://x.example/sets/one", {"set"}),
        ("ValueSet?url=http://x.example/sets", set()),
        ("ValueSet?url:below=http://x.example/sets", {"set"}),
        ("ValueSet?url:below=http://x.example/other", set()),
        # composite
        ("Observation?code-value-quantity=8480-6$gt100", {"high"}),
        ("Observation?code-value-quantity=718-7$gt100", set()),
        # chain and reverse chain
        ("Observation?subject.gender=female", {"low", "high", "other"}),
        (f"Observation?subject:Patient.family={FAMILY}", {"low", "high"}),
        ("Observation?patient.birthdate=lt1975", {"low", "high"}),
        ("Observation?subject.family=nonsense", set()),
        ("Patient?_has:Observation:patient:code=718-7", {"eve"}),
        ("Patient?_has:Observation:patient:code=nonsense", set()),
        # what every type has
        ("Patient?_id=ada,wei,unknown", {"ada", "wei"}),
        ("Patient?_lastUpdated=gt2020", {"ada", "eve", "wei", "nobody"}),
        ("Patient?_lastUpdated=lt2020", set()),
        # missing
        ("Patient?gender:missing=true", {"nobody"}),
        ("Patient?gender:missing=false", {"ada", "eve", "wei"}),
        ("Patient?birthdate:missing=true", {"nobody"}),
        ("Observation?subject:missing=true", set()),
        ("Observation?subject:missing=false", {"low", "high", "other"}),
        # compartment
        ("Patient/ada/Observation", {"low", "high"}),
        ("Patient/ada/Observation?code=718-7", set()),
        ("Patient/eve/Observation?code=718-7", {"other"}),
        ("Patient/ada/RiskAssessment", {"risk"}),
        ("Patient/ada/ValueSet", set()),
    ],
)
def test_finds_exactly_what_matches(clinic: Server, query: str, ids: set[str]) -> None:
    assert set(clinic.find(quote(query, safe="?&=:/|,.[]()"))) == ids


@pytest.mark.parametrize(
    "query", ["Patient?gender=male", "Patient?name=Ada", "Observation?subject.gender=female"]
)
def test_post_search_finds_the_same_as_get(clinic: Server, query: str) -> None:
    type_, _, form = query.partition("?")

    posted = clinic.post(f"{type_}/_search", form.encode(), content_type="application/x-www-form-urlencoded")
    mixed = clinic.post(
        f"{type_}/_search?_count=1", form.encode(), content_type="application/x-www-form-urlencoded"
    )

    assert posted.status_code == 200
    assert matches(load(posted)) == clinic.find(query)
    assert len(matches(load(mixed))) == 1


def test_post_search_takes_no_other_body(clinic: Server) -> None:
    refused(clinic.post("Patient/_search", {"gender": "male"}), 415, "not-supported")
    refused(
        clinic.post("Patient/_search", b"gender=%ff", content_type="application/x-www-form-urlencoded"),
        400,
        "invalid",
    )


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("birthdate", ["ada", "eve", "wei"]),
        ("-birthdate", ["wei", "eve", "ada"]),
        ("gender,-birthdate", ["eve", "ada", "wei"]),
        ("-gender,birthdate", ["wei", "ada", "eve"]),
        ("_id", ["ada", "eve", "wei"]),
        ("-_lastUpdated", ["wei", "eve", "ada"]),
    ],
)
def test_sorts_over_pages_as_over_one(clinic: Server, sort: str, order: list[str]) -> None:
    query = f"Patient?gender:missing=false&_sort={sort}"

    assert clinic.find(query) == order
    assert [id_ for page in clinic.pages(f"{query}&_count=1") for id_ in matches(page)] == order


def test_what_has_no_value_to_sort_by_is_not_lost(clinic: Server) -> None:
    for sort in ("birthdate", "-birthdate"):
        pages = clinic.pages(f"Patient?_sort={sort}&_count=2")
        assert sorted(id_ for page in pages for id_ in matches(page)) == ["ada", "eve", "nobody", "wei"]


def test_totals_are_told_when_asked_and_summary_count_tells_only_that(clinic: Server) -> None:
    exact = load(clinic.get("Patient?_total=accurate&_count=1"))
    count = load(clinic.get("Patient?_summary=count"))
    zero = load(clinic.get("Patient?_count=0"))

    assert (exact["total"], len(exact["entry"])) == (4, 1)
    assert (count["total"], count.get("entry")) == (4, None)
    assert (zero["total"], zero.get("entry")) == (4, None)
    assert "total" not in load(clinic.get("Patient?_count=1&_total=none"))


def test_elements_and_summary_return_parts_marked_as_such(clinic: Server) -> None:
    for query in ("_elements=gender", "_summary=text", "_summary=data", "_summary=true"):
        (entry,) = load(clinic.get(f"Patient?_id=ada&{query}"))["entry"]
        assert "SUBSETTED" in str(entry["resource"]["meta"]["tag"])
    (whole,) = load(clinic.get("Patient?_id=ada&_summary=false"))["entry"]
    assert "tag" not in whole["resource"]["meta"]
    (part,) = load(clinic.get("Patient?_id=ada&_elements=gender"))["entry"]
    assert set(part["resource"]) == {"resourceType", "id", "meta", "gender", "active"}  # active: a modifier


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("Patient?nickname=x", "not-supported"),
        ("Patient?birthDate=1970", "not-supported"),
        ("Patient?_lastupdated=2024", "not-supported"),
        ("Patient?gender:above=male", "value"),
        ("Observation?code-value-quantity=8480-6", "value"),
        ("Patient?family:fuzzy=x", "not-supported"),
        ("Patient?birthdate=soon", "value"),
        ("Patient?birthdate=2024-02-30", "value"),
        ("Patient?birthdate=xx2024", "value"),
        ("Observation?value-quantity=high", "value"),
        ("RiskAssessment?probability=high", "value"),
        ("Observation?subject=a/b/c", "value"),
        ("Observation?subject:Claim=x", "not-supported"),
        ("Observation?subject.nickname=x", "not-supported"),
        ("Observation?code.text=x", "value"),
        ("Patient?gender:missing=maybe", "value"),
        ("Patient?_sort=nickname", "not-supported"),
        ("Patient?_count=-1", "value"),
        ("Patient?_count=many", "value"),
        ("Patient?_total=maybe", "value"),
        ("Patient?_summary=some", "value"),
        ("Patient?_count=1&_count=2", "value"),
        ("Patient?_include=Patient:nickname", "not-supported"),
        ("Patient?_include=Patiant:link", "value"),
        ("Patient?_has:Observation:patient=x", "value"),
        ("Patient/ada/Claim?nickname=x", "not-supported"),
        ("Patient?_page=forged&gender=male", "invalid"),
    ],
)
def test_what_is_not_understood_is_400_by_default(clinic: Server, query: str, code: str) -> None:
    refused(clinic.get(query), 400, code)


def test_lenient_handling_says_what_it_ignored_and_leaves_it_out_of_the_self_link(clinic: Server) -> None:
    answer = clinic.get("Patient?gender=male&nickname=x&_sort=hobby", prefer="handling=lenient")

    bundle = load(answer)
    assert matches(bundle) == ["wei"]
    (outcome,) = (e["resource"] for e in bundle["entry"] if e["search"]["mode"] == "outcome")
    told = " ".join(issue["diagnostics"] for issue in outcome["issue"])
    assert "nickname" in told
    assert "hobby" in told
    assert links(bundle)["self"] == f"{BASE}/Patient?gender=male"


def test_lenient_handling_does_not_forgive_values(clinic: Server) -> None:
    refused(clinic.get("Patient?birthdate=soon", prefer="handling=lenient"), 400, "value")
    refused(clinic.get("Patient?nickname=x", prefer="handling=strict"), 400, "not-supported")


def test_an_empty_value_is_ignored_and_told(clinic: Server) -> None:
    bundle = load(clinic.get("Patient?gender=&_id=ada"))

    assert matches(bundle) == ["ada"]
    (outcome,) = (e["resource"] for e in bundle["entry"] if e["search"]["mode"] == "outcome")
    assert "gender" in outcome["issue"][0]["diagnostics"]


def test_a_search_without_matches_is_an_empty_searchset(clinic: Server) -> None:
    bundle = load(clinic.get("Patient?_id=unknown"))

    assert (bundle["type"], bundle.get("entry")) == ("searchset", None)
    assert "next" not in links(bundle)


def test_entries_name_their_address_and_why_they_are_there(clinic: Server) -> None:
    (entry,) = load(clinic.get("Patient?_id=ada"))["entry"]

    assert entry["fullUrl"] == f"{BASE}/Patient/ada"
    assert entry["search"] == {"mode": "match"}
    assert load(clinic.get(entry["fullUrl"])) == entry["resource"]


def test_a_type_without_compartment_is_404(clinic: Server) -> None:
    refused(clinic.get("Claim/1/Observation"), 404, "not-found")


def test_a_change_is_found_at_once_and_its_old_value_no_more(serve: Callable[..., Server]) -> None:
    server = serve()
    put(server, "a", patient(gender="male"))
    server.put("Patient/a", {**patient(gender="other"), "id": "a"})

    assert server.find("Patient?gender=male") == []
    assert server.find("Patient?gender=other") == ["a"]
