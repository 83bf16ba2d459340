"""More different consents than a search can hold: whoever asks for one patient is answered all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fhir_server.consent import groups
from tests.consent.filed import consent
from tests.http.server import bundle, entry, links, load, matches, refused, statuses
from tests.leak.house import ROOT, Guarded, guarded, value
from tests.leak.test_consent import GUEST, HOSPITAL, shared_world


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve the two patients; each has hidden a record of its own, and one has permitted something."""
    with guarded(tmp_path_factory.mktemp("data"), trees=shared_world()) as server:
        with server.as_(ROOT):
            for patient in ("mine", "hidden"):
                reference = {"reference": f"Observation/{patient}-1"}
                data = {"data": [{"meaning": "instance", "reference": reference}]}
                server.create(consent(data, permit=False, patient=patient))
        yield server


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody's and those that hide a record are two.
    monkeypatch.setattr(groups, "MOST_CONDITIONS", 1)


def test_a_population_is_too_costly(house: Guarded) -> None:
    with house.as_(GUEST):
        for path in ("Observation", "Observation?code=1111-1", "_history", "Observation?patient=mine,hidden"):
            refused(house.get(path), 403, "too-costly")


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
        assert statuses(load(house.post("", both))) == [200, 403]


def test_the_custodian_writes(house: Guarded) -> None:

    with house.as_(HOSPITAL):
        changed = value("mine-focus", "mine", "1111-1", "14.5")
        assert house.put("Observation/mine-focus", changed).status_code == 200
        absent = value("hidden-absent", "hidden", "1111-1", "1.5")
        assert house.put("Observation/hidden-absent", absent).status_code == 404
