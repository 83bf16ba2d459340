"""$convert: content becomes Bundles, and is stored when asked; what fails takes nothing with it."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.operations.converting.given import ARGUMENTS, IN_BODY_ONLY
from fhir_server.resources.codec import encode
from tests.http.samples import GIVEN, ID_NUMBER, PLANTED
from tests.http.server import Server, load, refused, statuses
from tests.mapping.his.world import extract

GOLDEN = Path(__file__).parents[1] / "mapping/nhsa/golden"
NHSA = "$convert?format=nhsa&source=h1"
ARCHIVE = "https://fhir-server.invalid/NamingSystem/archive-sha256"
Tree = dict[str, Any]

pytestmark = pytest.mark.xdist_group("convert-server")  # one server for the file, not one per worker


def golden(name: str) -> bytes:
    """Return a golden message."""
    return (GOLDEN / f"{name}.message.json").read_bytes()


def enrolment(number: str = "99990000000000000000012345", **changes: str) -> Tree:
    """Return an answer to 1101 about a person of ``number``."""
    tree: Tree = json.loads(golden("1101-response"))
    tree["output"]["baseinfo"] |= {"psn_no": number, **changes}
    return tree


def convert(server: Server, content: bytes | Tree, query: str = NHSA, **headers: str) -> httpx.Response:
    """POST content to $convert as a body of its own media type."""
    body = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
    headers.setdefault("content_type", "application/json")
    return server.request(
        "POST", query, content=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def messages(response: httpx.Response) -> list[Tree]:
    """Return what is told of each message: part name → value, several unmapped paths as a list."""
    assert response.status_code == 200, response.text
    told = []
    for parameter in load(response)["parameter"]:
        if parameter["name"] == "message":
            parts: Tree = {"unmapped": []}
            for part in parameter["part"]:
                if part["name"] == "unmapped":
                    parts["unmapped"].append(part["part"][0]["valueString"])
                else:
                    parts[part["name"]] = next(value for key, value in part.items() if key != "name")
            told.append(parts)
    return told


def counts(response: httpx.Response) -> tuple[int, int]:
    """Return how many messages were done and how many failed."""
    found = {p["name"]: p.get("valueInteger") for p in load(response)["parameter"]}
    return found["done"], found["failed"]


def everything(server: Server) -> set[str]:
    """Return every resource in its version."""
    return {
        f"{entry['fullUrl']}/{entry['resource']['meta']['versionId']}"
        for page in server.pages("_history?_count=500")
        for entry in page.get("entry", [])
        if "resource" in entry
    }


def test_a_message_becomes_a_transaction_that_is_not_carried_out(server: Server) -> None:
    before = everything(server)
    [asked, told] = messages(convert(server, golden("2207")))

    assert (asked["kind"], told["kind"]) == ("2207 request", "2207 response")
    assert told["bundle"]["type"] == "transaction"
    types = {entry["resource"]["resourceType"] for entry in told["bundle"]["entry"]}
    assert {"ExplanationOfBenefit", "Binary", "DocumentReference", "Provenance"} <= types
    assert everything(server) == before


@pytest.mark.parametrize("name", ["2201", "2207", "2401", "5301"])
def test_the_bundles_are_the_golden_ones(server: Server, name: str) -> None:
    told = messages(convert(server, golden(name), "$convert?format=nhsa&source=demo&archive=false"))
    expected = json.loads((GOLDEN / f"{name}.bundle.json").read_text(encoding="utf-8"), parse_float=str)

    made = [json.loads(encode(each["bundle"]), parse_float=str) for each in told if "bundle" in each]
    assert made == [bundle for bundle in expected if bundle["entry"]]


@pytest.mark.parametrize("form", ["base64", "string", "attachment"])
def test_content_may_come_in_parameters(server: Server, form: str) -> None:
    raw = golden("2207")
    data = base64.b64encode(raw).decode()
    content: Tree = {
        "base64": {"valueBase64Binary": data},
        "string": {"valueString": raw.decode()},
        "attachment": {"valueAttachment": {"data": data, "contentType": "application/json", "title": "2207"}},
    }[form]
    arguments = [
        {"name": "format", "valueCode": "nhsa"},
        {"name": "archive", "valueBoolean": False},
        {"name": "content", **content},
    ]
    response = server.post("$convert", {"resourceType": "Parameters", "parameter": arguments})
    raw_response = convert(server, raw, "$convert?format=nhsa&archive=false")

    assert [m["bundle"] for m in messages(response)] == [m["bundle"] for m in messages(raw_response)]


def test_what_is_stored_is_found_and_the_same_again_changes_nothing(server: Server) -> None:
    raw = enrolment("99990000000000000000000001")
    query = f"{NHSA}&store=true&kind=1101"
    [first] = messages(convert(server, raw, query))
    after = everything(server)
    [again] = messages(convert(server, raw, query))

    assert set(statuses(first["response"])) == {201}
    assert set(statuses(again["response"])) == {200}
    assert everything(server) == after
    system = "https://fhir-server.invalid/NamingSystem/nhsa-psn-no"
    assert len(server.find(f"Patient?identifier={system}|99990000000000000000000001")) == 1


def test_rows_of_a_table_are_stored_and_the_same_again_changes_nothing(server: Server) -> None:
    raw = extract("junwei", "PAT_MASTER_INDEX")
    query = "$convert?format=junwei&source=h1&store=true"
    [told] = messages(convert(server, raw, query, content_type="text/csv"))
    after = everything(server)
    [again] = messages(convert(server, raw, query, content_type="text/csv"))

    assert told["count"] == 2
    assert told["map"] == "junwei-patients"
    assert set(statuses(again["response"])) == {200}
    assert everything(server) == after
    assert len(server.find("Patient?name=张三")) == 1


def test_the_original_is_sealed_and_found_by_its_hash(serve: Callable[..., Server]) -> None:
    server = serve()
    raw = json.dumps(enrolment(psn_name=GIVEN, certno=ID_NUMBER), ensure_ascii=False).encode()
    [told] = messages(convert(server, raw, f"{NHSA}&store=true&kind=1101"))

    digest = sha256(raw).hexdigest()
    assert told["original"] == {"system": ARCHIVE, "value": digest}
    found = load(server.get(f"DocumentReference?identifier={ARCHIVE}|{digest}"))["entry"][0]["resource"]
    url = found["content"][0]["attachment"]["url"]
    assert server.get(url, accept="*/*").content == raw
    assert server.find(f"Provenance?entity=DocumentReference/{found['id']}")
    server.stop()
    try:
        stored = b"".join(file.read_bytes() for file in server.folder.rglob("*") if file.is_file())
    finally:
        server.start()
    assert not any(text.encode() in stored for text in (GIVEN, ID_NUMBER))
    assert base64.b64encode(raw)[:64] not in stored


def test_a_media_type_that_a_tool_says_of_itself_is_not_kept(server: Server) -> None:
    forms = "application/x-www-form-urlencoded"  # what curl says when it is told nothing
    [*_, told] = messages(convert(server, golden("2207"), content_type=forms))
    binaries = [
        entry["resource"]
        for entry in told["bundle"]["entry"]
        if entry["resource"]["resourceType"] == "Binary"
    ]

    assert [each["contentType"] for each in binaries] == ["application/json"]


def test_the_same_message_sent_at_once_is_stored_once(serve: Callable[..., Server]) -> None:
    server = serve()
    body = json.dumps(enrolment()).encode()
    call = ("POST", f"{NHSA}&store=true&kind=1101", body, {"content_type": "application/json"})
    answers = server.together([call] * 4)

    assert [answer.status_code for answer in answers] == [200] * 4
    assert len(server.find("Patient")) == len(server.find("DocumentReference")) == 1
    assert len(server.find("Binary")) == len(server.find("Provenance")) == 1


def test_the_capability_statement_and_openapi_tell_of_it(server: Server) -> None:
    [rest] = load(server.get("metadata"))["rest"]
    definition = "https://fhir-server.invalid/OperationDefinition/convert"
    assert {"name": "convert", "definition": definition} in rest["operation"]

    described = server.request("GET", "http://localhost:8080/openapi.json").json()["paths"]["/$convert"]
    assert set(described) == {"post"}
    named = {parameter.get("name") for parameter in described["post"]["parameters"]}
    assert set(ARGUMENTS) - IN_BODY_ONLY <= named
    assert "application/octet-stream" in described["post"]["requestBody"]["content"]


def test_unmapped_fields_and_warnings_are_told(server: Server) -> None:
    tree = enrolment()
    tree["output"]["baseinfo"]["colour_of_hat"] = "green"
    [told] = messages(convert(server, tree, f"{NHSA}&kind=1101"))

    assert "baseinfo.colour_of_hat" in told["unmapped"]
    assert "green" not in json.dumps(told["outcome"])
    assert any(issue["severity"] == "warning" for issue in told["outcome"]["issue"])


def test_a_message_that_fails_takes_no_other_with_it_and_is_kept(serve: Callable[..., Server]) -> None:
    server = serve()
    good, other = (json.dumps(enrolment(f"9999000000000000000000000{n}")).encode() for n in (1, 2))
    broken = b'{"infcode": 0, "output": {"baseinfo": {"psn_no": "' + ID_NUMBER.encode()
    raw = b"\n".join((good, broken, other))
    response = convert(server, raw, f"{NHSA}&store=true&kind=1101")

    assert counts(response)[0] == 2
    assert len(server.find("Patient")) == 2
    told = [issue for message in messages(response) for issue in message["outcome"]["issue"]]
    assert any("content.json:2" in issue["diagnostics"] for issue in told)
    assert not any(word in issue["diagnostics"] for issue in told for word in PLANTED)
    [kept] = load(server.get("DocumentReference?category=dead-letter"))["entry"]
    original, why = (each["attachment"] for each in kept["resource"]["content"])
    assert server.get(original["url"], accept="*/*").content == raw
    report = json.loads(base64.b64decode(why["data"]))
    assert report["resourceType"] == "OperationOutcome"
    assert not any(word in json.dumps(report, ensure_ascii=False) for word in PLANTED)


def test_rows_that_are_refused_stand_alone_and_each_is_kept(serve: Callable[..., Server]) -> None:
    server = serve()
    query = "$convert?format=junwei&source=h1&store=true"
    for table in ("PAT_MASTER_INDEX", "PAT_VISIT"):
        assert convert(server, extract("junwei", table), query, content_type="text/csv").status_code == 200
    header, known = extract("junwei", "DIAGNOSIS").splitlines(keepends=True)[:2]
    stranger = known.replace(b"0000001001", b"0000009999")
    response = convert(
        server, header + known + stranger, f"{query}&name=DIAGNOSIS.csv", content_type="text/csv"
    )

    assert counts(response) == (1, 1)
    assert len(server.find("Condition")) == 1
    [failed] = [message for message in messages(response) if not message["done"]]
    [kept] = load(server.get("DocumentReference?category=dead-letter"))["entry"]
    assert kept["resource"]["identifier"] == [failed["dead-letter"]]
    original = server.get(kept["resource"]["content"][0]["attachment"]["url"], accept="*/*").content
    assert original.strip() == stranger.strip()


def test_a_dead_letter_that_comes_through_later_is_one_no_more(serve: Callable[..., Server]) -> None:
    server = serve()
    query = "$convert?format=junwei&source=h1&store=true"
    early = extract("junwei", "DIAGNOSIS")
    assert convert(server, early, query, content_type="text/csv").status_code == 422
    waiting = server.find("DocumentReference?category=dead-letter")
    again = convert(server, early, query, content_type="text/csv")
    assert again.status_code == 422
    assert server.find("DocumentReference?category=dead-letter") == waiting != []

    for table in ("PAT_MASTER_INDEX", "CLINIC_MASTER", "PAT_VISIT"):
        convert(server, extract("junwei", table), query, content_type="text/csv")
    rows = messages(convert(server, early, f"{query}&rows=1", content_type="text/csv"))

    assert all(message["done"] for message in rows)
    assert server.find("DocumentReference?category=dead-letter") == []


def test_without_archive_nothing_is_kept(serve: Callable[..., Server]) -> None:
    server = serve()
    query = f"{NHSA}&store=true&kind=1101&archive=false"
    convert(server, enrolment(), query)
    refused(convert(server, b'{"infcode": 0, "outp', query), 422, "structure")

    assert server.find("Binary") == server.find("DocumentReference") == []
    assert len(server.find("Patient")) == 1


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("$convert", 400, "invalid"),
        ("$convert?format=hl9", 400, "value"),
        ("$convert?format=table", 400, "value"),
        (f"{NHSA}&kind=1101&colour=green", 400, "not-supported"),
        (f"{NHSA}&profile=atlantis", 400, "value"),
        (f"{NHSA}&option=database=sqlite:///etc/passwd", 400, "value"),
        ("$convert?format=junwei&option=database=FHIR_DATA", 400, "value"),
        ("$convert?format=junwei&option=owner=SYS", 400, "value"),
        ("$convert?format=junwei&option=encoding=zip", 400, "value"),
        ("$convert?format=nhsa&store=true", 400, "value"),
        (f"{NHSA}&store=perhaps", 400, "value"),
        ("$convert?format=nhsa&source=../../x", 400, "value"),
        (f"{NHSA}&name=../secret", 400, "value"),
        (f"{NHSA}&name=x.csv.gz", 400, "value"),
        (f"{NHSA}&zone=Mars", 400, "value"),
        (f"{NHSA}&rows=0", 400, "value"),
        (f"{NHSA}&organization=me", 400, "value"),
    ],
)
def test_what_is_asked_wrongly_is_400(server: Server, query: str, status: int, code: str) -> None:
    refused(convert(server, golden("2207"), query, content_type="application/octet-stream"), status, code)


def test_attachments_are_not_fetched(server: Server) -> None:
    attachment = {"url": "http://localhost:1/secret", "contentType": "application/json"}
    arguments = [{"name": "format", "valueCode": "nhsa"}, {"name": "content", "valueAttachment": attachment}]

    response = server.post("$convert", {"resourceType": "Parameters", "parameter": arguments})
    refused(response, 400, "value", "Parameters.parameter[1]")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (golden("2207")[:500], "structure"),
        (b"\xff\xfe\x00\xd8", "invalid"),
        (b"[" * 100_000, "too-long"),
        (b'{"infno": "2207", "infno": "2201"}', "value"),
        (b'{"a": 1}', "structure"),
        (b"[]", "not-found"),
        (b'{"infno": "9999", "input": {}}', "not-supported"),
        (b'{"infno": "2207", "input": {"data": {"psn_no": "\\ud800"}}}', "value"),
    ],
)
def test_what_cannot_be_read_is_422_with_place_and_reason(server: Server, content: bytes, code: str) -> None:
    response = convert(server, content)

    assert response.status_code == 422
    codes = {issue["code"] for issue in load(response)["issue"]}
    assert code in codes, response.text


def test_what_the_server_would_not_take_is_not_shown_as_if_it_would(server: Server) -> None:
    tree = enrolment(psn_name="\x01")
    told = refused(convert(server, tree, f"{NHSA}&kind=1101"), 422, "value")

    assert "\x01" not in told["diagnostics"]


def test_a_truncated_message_is_refused_with_line_and_column(server: Server) -> None:
    issue = refused(convert(server, golden("2207")[:500]), 422, "structure")

    assert issue["diagnostics"].startswith("content.json:")
    assert "truncated" in issue["diagnostics"]


def test_what_is_too_large_leaves_nothing_behind(serve: Callable[..., Server]) -> None:
    server = serve(max_convert_bytes=20_000, max_convert_messages=3)
    one = json.dumps(enrolment()).encode()
    many = b"\n".join(json.dumps(enrolment(f"9999000000000000000000000{n}")).encode() for n in range(4))
    query = f"{NHSA}&store=true&kind=1101"

    refused(convert(server, one + b" " * 20_000, query), 413, "too-long")
    refused(convert(server, many, query), 413, "too-long")
    assert server.find("Patient") == server.find("DocumentReference") == []
    assert convert(server, one, query).status_code == 200


def test_what_unpacks_to_too_much_is_not_unpacked(serve: Callable[..., Server]) -> None:
    server = serve(max_convert_bytes=100_000)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("PAT_MASTER_INDEX.csv", b"0," * 1_000_000)
    query = "$convert?format=junwei&source=h1&name=all.zip"

    refused(convert(server, packed.getvalue(), query, content_type="application/zip"), 413, "too-long")
    refused(
        convert(server, b"\x1f\x8b" + b"0" * 99, query, content_type="application/gzip"), 415, "not-supported"
    )
