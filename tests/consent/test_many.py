"""More different consents than a search can hold: whoever asks for one patient is answered all the same."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from fhir_server.consent import groups
from tests.consent.filed import PSY, consent
from tests.http.server import bundle, entry, links, load, matches, refused, statuses
from tests.leak.house import ROOT, Guarded, guarded, person, value
from tests.leak.test_consent import GUEST, HOSPITAL, HOUSE, provenance, shared_world
from tests.leak.test_reading import sought


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve the two patients; each has hidden a record of its own, and one what is labelled too."""
    with guarded(tmp_path_factory.mktemp("data"), trees=shared_world()) as server:
        with server.as_(ROOT):
            for patient in ("mine", "hidden"):
                reference = {"reference": f"Observation/{patient}-1"}
                data = {"data": [{"meaning": "instance", "reference": reference}]}
                server.create(consent(data, permit=False, patient=patient))
            server.create(consent(PSY, permit=False, uri="urn:policy:labels"))
        yield server


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody's and those that hide something are two.
    monkeypatch.setattr(groups, "MOST_CONDITIONS", 1)


def warned(answer: httpx.Response) -> bool:
    """Tell whether a searchset says that patients were left out of it."""
    told = [each for each in load(answer).get("entry", ()) if each["search"]["mode"] == "outcome"]
    issues = [issue for each in told for issue in each["resource"]["issue"]]
    return any((each["severity"], each["code"]) == ("warning", "suppressed") for each in issues)


@pytest.mark.parametrize(
    "query", ["Observation?", "Observation?code=1111-1,99999-9&", "Observation?patient=mine,hidden&"]
)
def test_of_a_population_the_patients_who_cost_most_are_left_out_and_that_is_said(
    house: Guarded, query: str
) -> None:
    """Both have hidden a record; whoever has said nothing is there, and totals are those of the pages."""
    with house.as_(ROOT):
        house.put("Patient/silent", person("silent", "Still", "here"))
        house.put("Observation/silent-1", value("silent-1", "silent", "1111-1", "1.5"))
        house.put("Observation/silent-2", value("silent-2", "silent", "1111-1", "2.5"))
    with house.as_(GUEST):
        pages = list(house.pages(f"{query}_count=1&_total=accurate"))
        expected = [] if "patient" in query else ["silent-1", "silent-2"]
        assert sorted(each for page in pages for each in matches(page)) == expected
        assert {page["total"] for page in pages} == {len(expected)}
        assert warned(house.get(query))
        assert not warned(house.get("Observation?patient=mine"))
        assert not warned(house.get("Patient/mine/Observation"))
        assert load(house.get(f"{query}_summary=count"))["total"] == len(expected)


@pytest.mark.parametrize(
    "path", ["?_type=Observation", "Patient/$everything", "Practitioner/doctor/Observation", "Observation"]
)
def test_every_searchset_about_a_population_says_so(house: Guarded, path: str) -> None:
    with house.as_(GUEST):
        assert warned(house.get(path))


def test_a_match_and_the_last_of_a_population_say_so(house: Guarded) -> None:
    with house.as_(HOSPITAL):
        assert warned(house.post("Patient/$match", sought("Minear")))
        assert warned(house.get("Observation/$lastn?subject:Patient.name=Minear&code=1111-1"))
        assert not warned(house.get("Observation/$lastn?patient=mine&code=1111-1"))


def test_what_cannot_say_so_is_too_costly(house: Guarded) -> None:
    with house.as_(GUEST):
        for path in ("_history", "Observation/_history"):
            refused(house.get(path), 403, "too-costly")
    with house.as_(HOSPITAL):
        sent = value("new", "mine", "1111-1", "1.5")
        del sent["id"]
        answer = house.post("Observation", sent, if_none_exist="code=1111-1")
        refused(answer, 403, "too-costly")


def test_who_withdraws_makes_room_for_all_from_the_next_search_on_in_every_worker(house: Guarded) -> None:
    workers = house, house.beside()
    workers[1].start()
    try:
        with house.as_(ROOT):
            filed = [house.get(f"Consent/{each}").json() for each in house.find("Consent")]
        for _ in range(2):
            for each in workers:
                with each.as_(GUEST):
                    assert warned(each.get("Observation"))
                    assert "mine-1" not in each.find("Observation?_count=50")
                    assert "mine-1" not in each.find("Observation?patient=mine&_count=50")
            with house.as_(ROOT):
                for tree in filed:
                    house.put(f"Consent/{tree['id']}", {**tree, "status": "inactive"})
            for each in workers:
                with each.as_(GUEST):
                    assert not warned(each.get("Observation"))
                    assert "mine-1" in each.find("Observation?_count=50")
            with house.as_(ROOT):
                for tree in filed:
                    house.put(f"Consent/{tree['id']}", tree)
    finally:
        workers[1].close()


@pytest.mark.parametrize(
    "query", ["patient=mine", "subject=Patient/mine", "patient=Patient/mine", "patient=mine&code=1111-1"]
)
def test_a_patients_records_are_found_page_by_page_and_its_hidden_one_is_not(
    house: Guarded, query: str
) -> None:
    with house.as_(GUEST):
        pages = list(house.pages(f"Observation?{query}&_count=1&_total=accurate"))

    assert [page["total"] for page in pages] == [2, 2]
    assert sorted(each for page in pages for each in matches(page)) == ["mine-derived", "mine-focus"]
    assert "next" in links(pages[0])


def test_reads_and_operations_are_answered_as_ever(house: Guarded) -> None:
    with house.as_(GUEST):
        assert house.get("Observation/mine-focus").status_code == 200
        assert house.get("Observation/hidden-focus").status_code == 200
        assert house.get("Observation/mine-focus/_history").status_code == 200
        for hidden in ("mine-1", "hidden-1", "absent"):
            assert house.get(f"Observation/{hidden}").status_code == 404
        everything = house.get("Patient/mine/$everything").text
        assert "mine-focus" in everything
        assert "Observation/mine-1" not in everything.replace('"reference":"Observation/mine-1"', "")
        compartment = load(house.get("Patient/mine/Observation?_total=accurate"))
        assert compartment["total"] == 2
        both = bundle("batch", [entry("GET", "Observation/mine-focus"), entry("GET", "Observation")])
        assert statuses(load(house.post("", both))) == [200, 200]


def test_what_tells_of_records_is_read_as_ever(house: Guarded) -> None:
    """Who has hidden nothing of it is told by nothing but the records that it tells of."""
    with house.as_(ROOT):
        house.put("Provenance/mine-other", provenance("mine-other", "Observation/mine-focus"))
    with house.as_(HOUSE):
        assert house.get("Provenance/mine-other").status_code == 200
        assert house.get("Bundle/mine-bundle").status_code == 200
        assert house.get("Task/mine-task").status_code == 200
        for hidden in (
            "mine-alone",
            "mine-trace",
            "hidden-alone",
            "hidden-traced",
            "hidden-made-of",
            "absent",
        ):
            assert house.get(f"Provenance/{hidden}").status_code == 404


def test_the_custodian_writes(house: Guarded) -> None:

    with house.as_(HOSPITAL):
        changed = value("mine-focus", "mine", "1111-1", "14.5")
        assert house.put("Observation/mine-focus", changed).status_code == 200
        absent = value("hidden-absent", "hidden", "1111-1", "1.5")
        assert house.put("Observation/hidden-absent", absent).status_code == 404
