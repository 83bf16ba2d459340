"""Contained resources searched for: by what they are themselves, in every type of container.

https://hl7.org/fhir/R4/search.html#contained
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.interactions import contained
from tests.http.samples import unique
from tests.http.server import BASE, Server, Tree, links, load, matches, refused

LABEL = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}


def drug(code: str, id_: str | None = None, **more: Any) -> Tree:
    tree = {"resourceType": "Medication", "code": {"coding": [{"system": "urn:drug", "code": code}]}, **more}
    return tree if id_ is None else {**tree, "id": id_}


def order(*drugs: Tree, **more: Any) -> Tree:
    """Return a MedicationRequest that refers to all that it contains."""
    reasons = [{"reference": f"#{each['id']}"} for each in drugs]
    return {
        "resourceType": "MedicationRequest",
        "contained": list(drugs),
        "status": "active",
        "intent": "order",
        "subject": {"display": "somebody"},
        "medicationReference": reasons[0],
        "supportingInformation": reasons,
        **more,
    }


def stay(*drugs: Tree) -> Tree:
    """Return a List that contains drugs: another type of container."""
    return {
        "resourceType": "List",
        "contained": list(drugs),
        "status": "current",
        "mode": "working",
        "entry": [{"item": {"reference": f"#{each['id']}"}} for each in drugs],
    }


def urls(bundle: Tree) -> list[str]:
    return [each["fullUrl"].removeprefix(f"{BASE}/") for each in bundle.get("entry", [])]


def walked(server: Server, path: str) -> list[str]:
    return [url for page in server.pages(path) for url in urls(page)]


def walked_back(server: Server, path: str) -> list[str]:
    last = list(server.pages(path))[-1]
    found = urls(last)
    while (address := links(last).get("previous")) is not None:
        last = load(server.get(address))
        found = urls(last) + found
    return found


def test_a_container_is_found_by_what_it_contains_and_only_when_asked(server: Server) -> None:
    code = unique()
    plain = server.create(drug(code))["id"]
    made = server.create(order(drug(code, "m")))["id"]
    listed = server.create(stay(drug(code, "m")))["id"]
    server.create(order(drug(unique(), "m")))

    assert server.find(f"Medication?code={code}") == [plain]
    assert server.find(f"Medication?code={code}&_contained=false") == [plain]
    found = load(server.get(f"Medication?code={code}&_contained=true&_total=accurate"))
    assert (found["total"], urls(found)) == (2, [f"List/{listed}", f"MedicationRequest/{made}"])
    both = load(server.get(f"Medication?code={code}&_contained=both&_total=accurate"))
    assert (both["total"], sorted(matches(both))) == (3, sorted([plain, made, listed]))
    assert links(both)["self"].endswith(f"code={code}&_contained=both&_total=accurate")


def test_every_condition_must_hold_of_one_and_the_same_contained_resource(server: Server) -> None:
    code, other = unique(), unique()
    split = order(drug(code, "m", status="active"), drug(other, "n", status="inactive"))
    server.create(split)
    path = "Medication?_contained=true&_summary=count"

    assert load(server.get(f"{path}&code={code}&status=active"))["total"] == 1
    assert load(server.get(f"{path}&code={code}&status=inactive"))["total"] == 0
    assert load(server.get(f"{path}&code={code}&code={other}"))["total"] == 0
    assert load(server.get(f"{path}&code={code},{other}"))["total"] == 1
    assert load(server.get(f"{path}&code={code}&status:not=inactive"))["total"] == 1


def test_a_contained_resource_is_found_by_its_own_id_and_not_by_its_containers(server: Server) -> None:
    name = unique()
    made = server.create(order(drug("x", name)))["id"]

    assert server.find(f"Medication?_contained=true&_id={name}") == [made]
    assert server.find(f"Medication?_contained=true&_id={made}") == []
    assert server.find(f"Medication?_id={name}") == []


def test_told_alone_it_has_the_containers_address_its_labels_and_what_it_refers_to(server: Server) -> None:
    code = unique()
    about = [{"url": "urn:order", "valueReference": {"reference": target}} for target in ("#", "#m")]
    maker = {"resourceType": "Organization", "id": "o", "name": "Maker", "extension": about}
    made = order(
        drug(code, "m", manufacturer={"reference": "#o"}), drug("x", "n"), meta={"security": [LABEL]}
    )
    made["contained"].append(maker)
    id_ = server.create(made)["id"]

    found = load(server.get(f"Medication?code={code}&_contained=true&_containedType=contained"))

    [entry] = found["entry"]
    address, alone = f"{BASE}/MedicationRequest/{id_}", entry["resource"]
    assert (entry["fullUrl"], entry["search"]["mode"]) == (f"{address}#m", "match")
    assert (alone["resourceType"], alone["id"]) == ("Medication", "m")
    assert [each["code"] for each in alone["meta"]["security"]] == ["R"]
    # Another drug beside it is none of its business; its maker is, who knows both it and the order.
    assert [each["id"] for each in alone["contained"]] == ["o"]
    targets = [each["valueReference"]["reference"] for each in alone["contained"][0]["extension"]]
    assert (alone["manufacturer"], targets) == ({"reference": "#o"}, [address, "#"])
    whole = load(server.get(f"Medication?code={code}&_contained=true"))["entry"][0]["resource"]
    assert whole["contained"][0]["manufacturer"] == {"reference": "#o"}


@pytest.mark.parametrize("sort", ["", "&_sort=_lastUpdated", "&_sort=-_lastUpdated"])
@pytest.mark.parametrize("kind", ["container", "contained"])
@pytest.mark.parametrize("mode", ["true", "both"])
def test_pages_are_walked_to_the_end_and_back_and_add_up_to_the_total(
    server: Server, mode: str, kind: str, sort: str
) -> None:
    code = unique()
    expected = []
    for number in range(3):
        for tree in (
            order(drug(code, "a"), drug(unique(), "b"), drug(code, "c"), drug(code, "d")),
            stay(drug(code, "a"), drug(code, "b")),
        ):
            url = f"{tree['resourceType']}/{server.create(tree)['id']}"
            parts = [
                f"{url}#{each['id']}"
                for each in tree["contained"]
                if each["code"]["coding"][0]["code"] == code
            ]
            expected += parts if kind == "contained" else [url]
        plain = server.create(drug(code, **({} if number % 2 else {"status": "active"})))["id"]
        expected += [f"Medication/{plain}"] if mode == "both" else []
    path = f"Medication?code={code}&_contained={mode}&_containedType={kind}{sort}"

    whole = urls(load(server.get(f"{path}&_count=100")))
    assert sorted(whole) == sorted(expected)
    assert load(server.get(f"{path}&_summary=count"))["total"] == len(expected)
    for count in (1, 3):
        assert walked(server, f"{path}&_count={count}") == whole
        assert walked_back(server, f"{path}&_count={count}") == whole
        page = load(server.get(f"{path}&_count={count}&_total=accurate"))
        assert (len(page["entry"]), page["total"]) == (count, len(expected))


def test_with_both_a_match_that_contains_a_match_is_told_once_as_a_container(server: Server) -> None:
    code = unique()

    def seen(id_: str, word: str, **more: Any) -> Tree:
        coding = [{"system": "urn:code", "code": word}]
        return {
            "resourceType": "Observation",
            "id": id_,
            "status": "final",
            "code": {"coding": coding},
            **more,
        }

    outer = seen("x", code, contained=[seen("in", code)], hasMember=[{"reference": "#in"}])
    id_ = server.create(outer)["id"]
    path = f"Observation?code={code}&_contained=both&_total=accurate"

    whole, parts = load(server.get(path)), load(server.get(f"{path}&_containedType=contained"))

    assert (whole["total"], urls(whole)) == (1, [f"Observation/{id_}"])
    assert (parts["total"], urls(parts)) == (2, [f"Observation/{id_}", f"Observation/{id_}#in"])
    assert server.find(f"Observation?code={code}&_contained=true") == [id_]


def test_pages_stay_whole_while_containers_come_and_go(server: Server) -> None:
    code = unique()
    kept = [server.create(order(drug(code, "a"), drug(code, "b")))["id"] for _ in range(4)]
    gone = [server.create(order(drug(code, "a")))["id"] for _ in range(2)]
    met = []
    path = f"Medication?code={code}&_contained=true&_containedType=contained&_count=1"
    for page in server.pages(path):
        met += urls(page)
        if gone:
            server.delete(f"MedicationRequest/{gone.pop()}")
            server.create(order(drug(unique(), "a")))

    assert met == [f"MedicationRequest/{id_}#{part}" for id_ in kept for part in "ab"]


def test_what_is_contained_follows_its_container_through_changes(server: Server) -> None:
    before, after = unique(), unique()
    made = server.create(order(drug(before, "m")))
    path = "Medication?_contained=true&code="

    server.put(f"MedicationRequest/{made['id']}", order(drug(after, "m"), id=made["id"]))
    assert (server.find(path + before), server.find(path + after)) == ([], [made["id"]])
    server.put(f"MedicationRequest/{made['id']}", order(drug(before, "m"), id=made["id"]))
    assert server.find(path + before) == [made["id"]]
    server.delete(f"MedicationRequest/{made['id']}")
    assert server.find(path + before) == []


def test_shapes_hold_for_what_is_told(server: Server) -> None:
    code = unique()
    server.create(order(drug(code, "m", status="active")))
    path = f"Medication?code={code}&_contained=true&_elements=status"

    [part] = load(server.get(f"{path}&_containedType=contained"))["entry"]
    assert part["resource"]["status"] == "active"
    assert "code" not in part["resource"]
    [whole] = load(server.get(path))["entry"]
    assert "contained" not in whole["resource"]


@pytest.mark.parametrize(
    ("query", "advice"),
    [
        ("Medication?_contained=true&manufacturer.name=x", "along references"),
        ("Medication?_contained=true&_has:MedicationRequest:medication:status=active", "along references"),
        ("Medication?_contained=true&_filter=manufacturer.name eq x", "along references"),
        ("Location?_contained=both&partof:below=Location/1", "along references"),
        ("Medication?_contained=true&_include=Medication:manufacturer", "included"),
        ("Medication?_contained=true&_revinclude=MedicationRequest:medication", "included"),
        ("Medication?_contained=true&_sort=code", "_lastUpdated"),
        ("Medication?_contained=sometimes", "false, true, both"),
        ("Medication?_contained=true&_contained=both", "twice"),
        ("Medication?_contained=true&_containedType=all", "container, contained"),
        ("Medication?_contained:not=true", "modifier"),
        ("?_type=Medication&_contained=true", "by type alone"),
        ("Patient/1/Observation?_contained=true", "by type alone"),
        ("Observation/$lastn?patient=Patient/1&code=x&_contained=true", "by type alone"),
        ("Medication?_contained.code=x", "_contained"),
        ("MedicationRequest?_has:List:item:_contained=Medication", "no search parameter"),
        ("MedicationRequest?_filter=_contained eq Medication", "no search parameter"),
    ],
)
def test_what_cannot_be_asked_of_contained_resources_is_refused_with_advice(
    server: Server, query: str, advice: str
) -> None:
    answer = server.get(query.replace(" ", "%20"))

    assert answer.status_code == 400
    assert advice in answer.text


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_criteria_never_choose_what_is_contained(server: Server, method: str) -> None:
    code = unique()
    made = server.create(order(drug(code, "m")))["id"]
    body = None if method == "DELETE" else [{"op": "replace", "path": "/status", "value": "inactive"}]

    refused(server(method, f"Medication?code={code}&_contained=true", body), 400, "not-supported")
    assert server.get(f"MedicationRequest/{made}").status_code == 200


def test_counting_ends_at_its_limit_with_advice(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    code = unique()
    for _ in range(4):
        server.create(order(drug(code, "m")))
    path = f"Medication?code={code}&_contained=true&_containedType=contained"
    assert load(server.get(f"{path}&_total=accurate"))["total"] == 4
    monkeypatch.setattr(contained, "_STEP", 2)
    assert load(server.get(f"{path}&_total=accurate"))["total"] == 4
    monkeypatch.setattr(contained, "_MOST_COUNTED", 3)

    answer = server.get(f"{path}&_total=accurate")

    assert answer.status_code in {403, 503}
    assert "Leave out _total" in answer.text
    assert len(urls(load(server.get(path)))) == 4


def test_a_form_and_an_explained_search_ask_the_same(server: Server, serve: Callable[..., Server]) -> None:
    code = unique()
    made = server.create(order(drug(code, "m")))["id"]
    form = {"content_type": "application/x-www-form-urlencoded"}

    posted = server("POST", "Medication/_search", f"code={code}&_contained=true", **form)
    assert matches(load(posted)) == [made]
    explained = server.get(f"Medication?code={code}&_contained=true", prefer="explain")
    assert "opened record" in explained.text
    assert matches(load(explained)) == [made]
    assert matches(load(serve().get(f"Medication?code={code}&_contained=true"))) == []
