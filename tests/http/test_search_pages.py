"""Pages: keyset links that are opaque, bound to their search, and sound while others write.

https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.http.samples import FAMILY, GIVEN, PHONE, patient, tagged, unique
from tests.http.server import Server, entry, links, load, matches, refused


def many(server: Server, tag: str, number: int) -> list[str]:
    """Create Patients with one tag; return their ids."""
    answer = server.transact(
        *(entry("POST", "Patient", patient(tag, birthDate=f"{1950 + n % 7}-01-01")) for n in range(number))
    )
    return [e["response"]["location"].split("/")[-3] for e in load(answer)["entry"]]


@pytest.mark.parametrize("sort", ["", "&_sort=birthdate", "&_sort=-birthdate,_id", "&_sort=-_lastUpdated"])
@pytest.mark.parametrize("count", [1, 7, 10, 23, 24])
def test_pages_hold_every_match_once(server: Server, sort: str, count: int) -> None:
    tag = unique()
    ids = many(server, tag, 23)

    pages = list(server.pages(f"Patient?{tagged(tag)}&_count={count}{sort}"))

    found = [id_ for page in pages for id_ in matches(page)]
    assert sorted(found) == sorted(ids)
    assert len(pages) == -(-23 // count)
    assert [len(matches(page)) for page in pages[:-1]] == [count] * (len(pages) - 1)


def test_without_count_a_page_has_the_default_and_count_has_a_ceiling(serve: Callable[..., Server]) -> None:
    server = serve(default_count=3, max_count=5)
    many(server, unique(), 7)

    assert [len(matches(page)) for page in server.pages("Patient")] == [3, 3, 1]
    assert [len(matches(page)) for page in server.pages("Patient?_count=100")] == [5, 2]


@pytest.mark.parametrize("sort", ["", "&_sort=birthdate"])
def test_writes_between_pages_neither_repeat_nor_hide_what_stays(server: Server, sort: str) -> None:
    tag = unique()
    ids = many(server, tag, 12)
    found: list[str] = []
    deleted = set()

    for page in server.pages(f"Patient?{tagged(tag)}&_count=3{sort}"):
        found += matches(page)
        many(server, tag, 1)
        left = [id_ for id_ in ids if id_ not in found and id_ not in deleted]
        if len(deleted) < 2 and left:
            server.delete(f"Patient/{left[-1]}")
            deleted.add(left[-1])
        if len(found) > 40:
            break

    assert len(found) == len(set(found)), "a match came twice"
    assert set(ids) - deleted <= set(found), "a match that was there all the time was hidden"
    assert not deleted & set(found)


def test_a_page_link_shows_nothing_of_what_was_searched_for(server: Server) -> None:
    for _ in range(2):
        server.create(patient())
    query = f"Patient?family={FAMILY}&name={quote(GIVEN)}&telecom={PHONE}&_count=1"

    address = links(load(server.get(query)))["next"]

    parameters = address.partition("?")[2]
    assert parameters.startswith("_page=")
    assert "&" not in parameters
    for secret in (FAMILY, GIVEN, quote(GIVEN), PHONE, "family", "telecom"):
        assert secret not in parameters


def test_a_page_link_is_bound_to_its_search_and_cannot_be_altered(server: Server) -> None:
    tag = unique()
    many(server, tag, 3)
    token = links(load(server.get(f"Patient?{tagged(tag)}&_count=1")))["next"].partition("=")[2]

    assert len(matches(load(server.get(f"Patient?_page={token}")))) == 1
    refused(server.get(f"Observation?_page={token}"), 404, "not-found")
    for forged in (
        token[:-2],
        token[:10] + ("A" if token[10] != "A" else "B") + token[11:],
        "x",
        "",
        "%00",
        "é",
    ):
        assert server.get(f"Patient?_page={forged}").status_code in {400, 404}
    refused(server.get(f"Patient?_page={token}&gender=male"), 400, "invalid")
    refused(server.get(f"Patient?_page={token}&_page={token}"), 400, "invalid")


def test_a_page_link_of_another_server_is_404(server: Server, serve: Callable[..., Server]) -> None:
    tag = unique()
    many(server, tag, 2)
    token = links(load(server.get(f"Patient?{tagged(tag)}&_count=1")))["next"].partition("?")[2]

    refused(serve().get(f"Patient?{token}"), 404, "not-found")


def test_a_page_link_survives_a_restart(serve: Callable[..., Server]) -> None:
    server = serve()
    tag = unique()
    many(server, tag, 2)
    address = links(load(server.get(f"Patient?{tagged(tag)}&_count=1")))["next"]
    server.stop()
    server.start()

    assert len(matches(load(server.get(address)))) == 1


def test_a_deleted_match_is_not_on_the_next_page(server: Server) -> None:
    tag = unique()
    many(server, tag, 3)
    first, second, third = server.find(f"Patient?{tagged(tag)}&_sort=_id")
    page = load(server.get(f"Patient?{tagged(tag)}&_sort=_id&_count=1"))
    server.delete(f"Patient/{second}")

    rest = [id_ for each in server.pages(links(page)["next"]) for id_ in matches(each)]

    assert (matches(page), rest) == ([first], [third])


def test_the_total_of_a_later_page_is_that_of_the_first(server: Server) -> None:
    tag = unique()
    many(server, tag, 3)

    pages = list(server.pages(f"Patient?{tagged(tag)}&_count=1&_total=accurate"))

    assert [page["total"] for page in pages] == [3, 3, 3]


def test_a_page_of_a_posted_search_is_gone_on_with_by_get(server: Server) -> None:
    tag = unique()
    ids = many(server, tag, 3)
    form = f"identifier=urn:tag%7C{tag}&_count=2".encode()

    first = load(server.post("Patient/_search", form, content_type="application/x-www-form-urlencoded"))
    second = load(server.get(links(first)["next"]))

    assert sorted(matches(first) + matches(second)) == sorted(ids)
