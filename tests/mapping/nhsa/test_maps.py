"""Every map: what it covers, both laws, validity of what it makes, and the same message twice."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.validation import errors
from mappings.engine.laws import broken
from mappings.engine.model import Context, Group, Issue, Map, Message, Target
from mappings.engine.run import read
from mappings.engine.write import write
from mappings.nhsa.fields import transaction
from tests.mapping.nhsa.messages import FORMAT, PLAIN, SHARED, map_of, random_message, unlike, whole_message

MAPS = {map_.name: map_ for map_ in FORMAT.maps()}
FILES = {map_.name: map_ for map_ in unlike(FORMAT.maps())}
GOLDEN = Path(__file__).parent / "golden"
SAMPLES = sorted((SHARED / "samples").glob("nhsa_*.json"))
ENCODER = msgspec.json.Encoder(decimal_format="number")

BOTH = re.findall(
    r"\w+",
    """1101 1161 2001 2101 2102 2103 2201 2202 2203 2203A 2204 2205 2206 2206A 2207 2207A 2208 2301
    2302 2303 2304 2305 2401 2402 2403 2404 2405 2501 2502 2503 2504 2505 2506 3101 3102 3103 3201
    3202 4101 4701 5201 5202 5203 5204 5205 5206 5301 5302 5303 1301 1302 1303 1304 1305 1306 1306A
    1307 1308 1309 1310 1311 1312 1313 1314 1315 1316 1317 1318 1319""",
)
FILES_OF = re.findall(r"\w+", "1301 1302 1303 1305 1306 1306A 1307 1308 1309 1310 1311 1313 1314 1315 3202")
TABLES = re.findall(
    r"\w+",
    "psn_info_b psn_insu_d psn_insu_chg_c insu_emp_info_b emp_insu_d out_appy_d opsp_reg_d rlts_traf_info_d",
)


@pytest.mark.parametrize("kind", BOTH)
def test_maps_request_and_response_of_every_transaction(kind: str) -> None:
    assert map_of(kind, "request").kind == kind
    assert map_of(kind, "response").kind == kind


@pytest.mark.parametrize("kind", FILES_OF + TABLES)
def test_maps_every_catalogue_and_enrolment_table(kind: str) -> None:
    assert map_of(kind, "").kind == kind


def test_has_no_map_for_what_is_not_served() -> None:
    assert FORMAT.map_for(Message("3501", {"data": {}}, direction="request")) is None
    assert FORMAT.map_for(Message("1101", {"data": {}}, direction="")) is None


@pytest.mark.parametrize("name", MAPS)
def test_carries_or_ignores_every_field_of_the_field_table(name: str) -> None:
    # Hunan's 2203A is another transaction than everybody else's, and the field table is Hunan's.
    map_ = {each.name: each for each in FORMAT.maps(("hunan",))}[name]
    described = transaction(map_.kind)
    assert described is not None
    known = {
        f"{block.dotted}.{field.name}" if block.path else field.name
        for block in described.side(map_.direction)
        for field in block.fields.values()
        if field.type != "block" and not field.means
    }

    left = known - sources(map_)
    assert {path for path in left if not ignored(path, map_)} == set()


def ignored(path: str, map_: Map) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in map_.ignored)


def sources(map_: Map) -> set[str]:
    """Return every source field that a map carries."""
    found: set[str] = set()

    def walk(item: Target | Group) -> None:
        for field in item.fields:
            if isinstance(field, Group):
                walk(field)
            else:
                found.update(getattr(field, "sources", ()))

    for target in map_.targets:
        walk(target)
        found.update(value for identity in target.identities for value in identity.values)
    return found


@pytest.mark.parametrize("name", MAPS)
def test_every_way_that_goes_one_way_says_why(name: str) -> None:
    fields = [field for target in MAPS[name].targets for field in target.fields]

    assert all(len(getattr(field, "reason", "")) > 10 for field in fields if getattr(field, "one_way", ""))
    assert all(len(reason) > 10 for reason in MAPS[name].ignored.values())


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32))
def test_both_laws_hold(name: str, seed: int) -> None:
    # A seed, not Hypothesis' own Random: thousands of draws per message would take minutes.
    assert [str(each) for each in broken(FILES[name], random_message(FILES[name], Random(seed)))] == []


def test_both_laws_hold_for_every_transaction_that_shares_a_file() -> None:
    for map_ in MAPS.values():
        assert [str(each) for each in broken(map_, random_message(map_, Random(7)))] == [], map_.name


@pytest.mark.parametrize("name", FILES)
def test_makes_valid_resources_of_whole_messages(name: str) -> None:
    for seed in range(2):
        result = read(FILES[name], whole_message(FILES[name], Random(seed)), PLAIN)

        assert [issue for issue in result.issues if issue.severity == "error"] == []
        assert result.bundle["entry"] != []
        for entry in result.bundle["entry"]:
            resource = entry["resource"]
            assert errors(resource) == []
            get_fhir_model_class(resource["resourceType"]).model_validate_json(ENCODER.encode(resource))


@pytest.mark.parametrize("name", FILES)
def test_the_same_message_twice_asks_for_the_same(name: str) -> None:
    first, again = (read(FILES[name], whole_message(FILES[name], Random(3)), PLAIN).bundle for _ in range(2))

    assert first == again
    assert all(
        "?identifier=" in entry["request"]["url"] or "ifNoneExist" in entry["request"]
        for entry in first["entry"]
    )


def test_lists_a_field_that_no_one_knows() -> None:
    message = whole_message(map_of("2207", "request"), Random(1))
    message.tree["data"]["brand_new"] = "1"

    assert [left.path for left in read(map_of("2207", "request"), message, PLAIN).unmapped] == [
        "data.brand_new"
    ]


def test_does_not_store_the_token_of_an_electronic_credential() -> None:
    for kind in ("2207", "2208"):
        message = whole_message(map_of("2207", "request"), Random(1))
        message.tree["data"] |= {"mdtrt_cert_type": "01", "mdtrt_cert_no": "secret-token"}
        assert "secret-token" not in str(read(map_of("2207", "request"), message, PLAIN).bundle), kind
    message.tree["data"]["mdtrt_cert_type"] = "03"
    assert "secret-token" in str(read(map_of("2207", "request"), message, PLAIN).bundle)


def test_an_answer_without_content_becomes_a_task_that_says_how_it_ended() -> None:
    for code, status in (("0", "completed"), ("-1", "failed"), ("500", "failed")):
        parameters = {
            "infno": "2207",
            "infcode": code,
            "inf_refmsgid": "9",
            "respond_time": "20260101090000000",
        }
        message = Message("2207", {}, direction="response", parameters=parameters)
        map_ = FORMAT.map_for(message)
        assert map_ is not None
        [entry] = read(map_, message, PLAIN).bundle["entry"]

        assert entry["resource"]["status"] == status
        assert {"type": {"coding": [coding("infcode")]}, "valueString": code} in entry["resource"]["output"]


def coding(name: str) -> dict[str, str]:
    return {"system": "https://fhir-server.invalid/CodeSystem/nhsa-parameter", "code": name}


@pytest.mark.parametrize(
    ("kind", "others"),
    [("2207", ["2206"]), ("2206", ["2207"]), ("2304", ["2303"]), ("2404", ["2208", "2302", "2405"])],
)
def test_a_request_is_written_as_the_transaction_that_it_was_and_as_no_other(
    kind: str, others: list[str]
) -> None:
    bundle = read(map_of(kind, "request"), whole_message(map_of(kind, "request"), Random(1)), PLAIN).bundle

    assert [each.kind for each in write(map_of(kind, "request"), bundle, PLAIN).messages] == [kind]
    for other in others:
        written = write(map_of(other, "request"), bundle, PLAIN).messages
        assert all(
            "setl_id" not in str(each.tree) and "medfee_sumamt" not in str(each.tree) for each in written
        )


def test_archives_the_original_beside_what_was_made_of_it() -> None:
    [message] = messages(GOLDEN / "1101-response.message.json")
    context = Context(source="demo", now="2026-01-01T00:00:00Z", media_type="application/json")
    made = [entry["resource"] for entry in read(map_of("1101", "response"), message, context).bundle["entry"]]

    assert {"Binary", "DocumentReference", "Provenance"} <= {each["resourceType"] for each in made}
    assert all(errors(each) == [] for each in made)


def messages(file: Path) -> list[Message]:
    options = {"where": file.name}
    return [item for item in FORMAT.split(file.read_bytes(), options) if isinstance(item, Message)]


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.message.json")), ids=lambda file: file.name)
def test_golden_messages_become_their_bundles_and_come_back(file: Path) -> None:
    expected = json.loads(file.with_name(file.name.replace(".message.", ".bundle.")).read_text("utf-8"))
    found = messages(file)
    bundles = [read(chosen(each), each, PLAIN).bundle for each in found]

    assert json.loads(ENCODER.encode(bundles)) == expected
    for each, bundle in zip(found, bundles, strict=True):
        assert comes_back(each, bundle)


def chosen(message: Message) -> Map:
    map_ = FORMAT.map_for(message)
    assert map_ is not None
    return map_


def comes_back(message: Message, bundle: dict[str, Any]) -> bool:
    """Write the Bundle as a message, send it, read it: is it the one that came?"""
    map_ = chosen(message)
    [native] = write(map_, bundle, PLAIN).messages
    native.kind = message.kind
    native.parameters = {**message.parameters, **native.parameters}
    sent = FORMAT.join([native], {})
    [back] = [item for item in FORMAT.split(sent, {"kind": message.kind}) if isinstance(item, Message)]
    lost = {left.path for left in read(map_, message, PLAIN).unmapped}
    before, after = (dict(leaves(each.tree)) for each in (message, back))
    return all(
        before.get(path) == after.get(path)
        for path in before.keys() | after.keys()
        if general(path) not in lost
        and not ignored(general(path), map_)
        and not defaulted(general(path), map_)
    )


def defaulted(path: str, map_: Map) -> bool:
    return any(
        getattr(field, "default", None) is not None and path in field.sources
        for target in map_.targets
        for field in target.fields
    )


def general(path: str) -> str:
    return ".".join(part for part in path.split(".") if not part.isdecimal())


def leaves(tree: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(tree, dict | list):
        named = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return [leaf for name, value in named for leaf in leaves(value, f"{path}.{name}".lstrip("."))]
    return [(path, tree)]


@pytest.mark.skipif(not SAMPLES, reason="no samples: set FHIR_SHARED or put shared/ beside the project")
def test_every_sample_converts_validly_and_comes_back() -> None:
    refused = []
    for file in SAMPLES:
        found = messages(file)
        if not found:
            refused.append(file.name)
        for each in found:
            result = read(chosen(each), each, PLAIN)
            assert result.unmapped == [], file.name
            assert [issue for issue in result.issues if issue.severity == "error"] == [], file.name
            assert [error for entry in result.bundle["entry"] for error in errors(entry["resource"])] == [], (
                file.name
            )
            assert comes_back(each, result.bundle), file.name
            assert list(FORMAT.check(each)) == [], file.name

    assert [name for name in refused if "INVALID" not in name] == []
    [report] = [item for file in SAMPLES if file.name in refused for item in split(file)]
    assert (report.severity, report.where.rpartition(":")[2]) == ("error", "173")


def split(file: Path) -> list[Issue]:
    options = {"where": file.name}
    return [item for item in FORMAT.split(file.read_bytes(), options) if isinstance(item, Issue)]
