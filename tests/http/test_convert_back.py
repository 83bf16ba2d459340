"""$convert back: resources that are sent, or that a read or search shows, become bytes of a local format."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from openpyxl import load_workbook

from tests.http.server import Server, load, refused, served
from tests.http.test_convert import GOLDEN, convert, counts, golden
from tests.mapping.his.world import extract, rows_of

Tree = dict[str, Any]
PATIENTS = "$convert?format=junwei&source=h1&map=junwei-patients"

pytestmark = pytest.mark.xdist_group("convert-back-server")  # one server for the file, not one per worker


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the patients of a small hospital, and one settlement."""
    with served(tmp_path_factory.mktemp("data")) as running:
        query = "$convert?format=junwei&source=h1&store=true"
        table = extract("junwei", "PAT_MASTER_INDEX")
        assert counts(convert(running, table, query, content_type="text/csv")) == (2, 0)
        query = "$convert?format=nhsa&source=h1&store=true"
        assert counts(convert(running, golden("2207"), query)) == (2, 0)
        yield running


def rows(content: bytes, encoding: str = "utf-8-sig") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(encoding), newline="")))


def test_a_search_becomes_the_table_that_it_came_from(server: Server) -> None:
    response = server.post(f"{PATIENTS}&url=Patient?identifier=0000001001,0000001002", None)

    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == "attachment"
    found = {row["PATIENT_ID"]: row["NAME"] for row in rows(response.content)}
    assert found == {row["PATIENT_ID"]: row["NAME"] for row in rows_of("junwei")["PAT_MASTER_INDEX"]}


def test_the_encoding_and_a_workbook_are_options(server: Server) -> None:
    query = f"{PATIENTS}&url=Patient?identifier=0000001001"
    text = server.post(f"{query}&option=encoding=gb18030&option=titles=true", None)
    book = server.post(f"{query}&option=as=workbook", None)

    assert text.headers["content-type"] == "text/csv; charset=gb18030"
    assert "张三" in text.content.decode("gb18030")
    assert book.headers["content-type"].startswith("application/vnd.openxmlformats")
    assert load_workbook(io.BytesIO(book.content)).active is not None


def test_a_settlement_becomes_a_message_again(server: Server) -> None:
    urls = "url=ExplanationOfBenefit&url=Patient&url=Encounter"
    response = server.post(f"$convert?format=nhsa&source=h1&map=nhsa-2207-response&{urls}", None)

    assert response.headers["content-type"] == "application/json"
    assert int(response.headers["x-convert-issues"]) >= 0
    native = json.loads(response.content)
    assert native["output"]["setlinfo"]["setl_id"] == "800000000001"
    assert native["output"]["setlinfo"]["medfee_sumamt"] == 320.5


def test_a_golden_bundle_that_is_sent_becomes_its_message(server: Server) -> None:
    [*_, bundle] = json.loads((GOLDEN / "2207.bundle.json").read_text(encoding="utf-8"))
    expected = json.loads(golden("2207"))["response"]["output"]["setlinfo"]
    response = server.post("$convert?format=nhsa&source=demo&map=nhsa-2207-response", bundle)

    native = json.loads(response.content)["output"]["setlinfo"]
    assert {key: native[key] for key in ("setl_id", "mdtrt_id", "fund_pay_sumamt")} == {
        key: expected[key] for key in ("setl_id", "mdtrt_id", "fund_pay_sumamt")
    }


def test_a_report_tells_what_has_no_place(server: Server) -> None:
    tree: Tree = load(server.get("Patient?identifier=0000001001"))["entry"][0]["resource"]
    tree["photo"] = [{"title": "of a hat"}]
    arguments: list[Tree] = [
        {"name": "format", "valueCode": "junwei"},
        {"name": "map", "valueString": "junwei-patients"},
        {"name": "source", "valueString": "h1"},
        {"name": "report", "valueBoolean": True},
        {"name": "resource", "resource": tree},
    ]
    response = server.post("$convert", {"resourceType": "Parameters", "parameter": arguments})

    content, told = (parameter["resource"] for parameter in load(response)["parameter"])
    assert rows(base64.b64decode(content["data"]))[0]["PATIENT_ID"] == "0000001001"
    assert any("Patient.photo" in issue["diagnostics"] for issue in told["issue"])


def test_accept_asks_for_the_binary_as_a_resource(server: Server) -> None:
    query = f"{PATIENTS}&url=Patient?identifier=0000001001"
    tree = load(server.post(query, None, accept="application/fhir+json"))

    assert tree["resourceType"] == "Binary"
    assert b"0000001001" in base64.b64decode(tree["data"])


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("$convert?format=junwei&url=Patient", 400, "invalid"),
        ("$convert?format=junwei&map=atlantis&url=Patient", 400, "value"),
        (f"{PATIENTS}&url=Patient/unknown", 404, "not-found"),
        (f"{PATIENTS}&url=Patient?colour=green", 400, "not-supported"),
        (f"{PATIENTS}&url=http://elsewhere.example.org/Patient", 400, "invalid"),
        (f"{PATIENTS}&url=metadata", 400, "value"),
        (f"{PATIENTS}&url=Patient/$everything", 400, "value"),
        (f"{PATIENTS}&url=Patient?_count=1", 413, "too-long"),
        (f"{PATIENTS}&url=Patient&store=true", 400, "value"),
        (f"{PATIENTS}&url=Patient&option=delimiter=xyz", 400, "value"),
        (f"{PATIENTS}&url=Encounter", 422, "not-found"),
    ],
)
def test_what_cannot_be_written_is_refused(server: Server, query: str, status: int, code: str) -> None:
    refused(server.post(query, None), status, code)


def test_a_letter_that_the_encoding_lacks_is_refused_unquoted(server: Server) -> None:
    tree: Tree = load(server.get("Patient?identifier=0000001001"))["entry"][0]["resource"]
    tree["name"][0]["text"] = "𠮷野"
    issue = refused(server.post(f"{PATIENTS}&option=encoding=gb2312", tree), 422, "value")

    assert "𠮷" not in issue["diagnostics"]


def test_what_is_no_bundle_is_refused(server: Server) -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": "nothing"}
    refused(server.post(PATIENTS, bundle), 400, "invalid", "Bundle.entry")


def test_it_is_not_called_by_get(server: Server) -> None:
    assert server.get("$convert?format=nhsa").status_code == 405


def test_it_is_no_part_of_a_transaction(server: Server) -> None:
    request = {"method": "POST", "url": "$convert?format=nhsa&store=true&source=h1"}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"request": request}]}

    refused(server.post("", bundle), 400, "invalid")
