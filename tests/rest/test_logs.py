"""The log tells what happened and never to whom."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.request import Reply, Request
from fhir_server.rest.logs import JsonFormatter, configure_logging
from fhir_server.rest.observe import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

KNOWN = frozenset({"name", "birthdate", "patient", "_has"})
PERSONAL = ("zhangwei", "张伟", "%E5%BC%A0%E4%BC%9F", "110105194912310021", "pat-4711")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Collect what would go to stderr."""
    stream = io.StringIO()
    monkeypatch.setattr("fhir_server.rest.logs.stderr", lambda: stream)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


async def lines(log: io.StringIO) -> list[dict[str, Any]]:
    await asyncio.sleep(0)  # lines are written when a turn of the event loop is over
    return [json.loads(line) for line in log.getvalue().splitlines() if "fhir_server" in line]


async def test_one_line_a_request_says_what_was_done(client: Any, log: io.StringIO) -> None:
    response = await client("GET", "/fhir/Patient/1?_pretty=true", x_request_id="abc")

    (line,) = await lines(log)
    assert line["event"] == "request"
    assert line["level"] == "info"
    assert (line["request_id"], line["method"], line["interaction"], line["type"], line["status"]) == (
        "abc",
        "GET",
        "read",
        "Patient",
        200,
    )
    assert line["bytes"] == len(response.body)
    assert line["ms"] > 0
    assert line["time"].endswith("Z")


async def test_nothing_personal_reaches_the_log_whatever_goes_wrong(client: Any, log: io.StringIO) -> None:
    async def fail(request: Request) -> Reply:
        raise ValueError(request.parameters, request.id)

    async def refuse(_request: Request) -> Reply:
        raise Fault(Kind.UNPROCESSABLE, "张伟 is no date.", "Patient.where(name='zhangwei')")

    form = {"content_type": "application/x-www-form-urlencoded"}
    json_ = {"content_type": "application/fhir+json"}
    body = '{"resourceType":"Patient","id":"pat-4711","name":[{"text":"张伟"}]}'.encode()
    for answer in (client.answer, fail, refuse):
        client.answer = answer
        await client("GET", "/fhir/Patient/pat-4711")
        await client("GET", "/fhir/Patient?name=%E5%BC%A0%E4%BC%9F&birthdate=110105194912310021")
        await client("GET", "/fhir/Patient?zhangwei&zhangwei=1&name:zhangwei=1&name.zhangwei=1")
        await client("POST", "/fhir/Patient/_search", b"name=zhangwei", **form)
        await client("PUT", "/fhir/Patient/pat-4711", body, **json_)
        await client("POST", "/fhir/Patient", body[:-1], **json_)
        await client("POST", "/fhir/Patient", body, if_none_exist="name=zhangwei", **json_)
        await client("GET", "/fhir/zhangwei/pat-4711")
        await client("GET", "/zhangwei")
        await client("ZHANGWEI", "/fhir/Patient/pat-4711")
        await client("POST", "/fhir/Patient/$zhangwei")

    assert len(await lines(log)) >= 33
    assert not [word for word in PERSONAL if word.lower() in log.getvalue().lower()]


async def test_probes_are_quiet_until_something_is_wrong(client: Any, log: io.StringIO) -> None:
    logging.getLogger().setLevel(logging.INFO)
    await client("GET", "/health/ready")
    await client("GET", "/metrics")
    assert await lines(log) == []

    client.is_ready = False
    await client("GET", "/health/ready")
    assert [(line["interaction"], line["status"]) for line in await lines(log)] == [("health", 503)]


async def test_a_failure_is_logged_with_its_stack_and_request_id(client: Any, log: io.StringIO) -> None:
    async def fail(_request: Request) -> Reply:
        raise ValueError("张伟")

    client.answer = fail
    await client("GET", "/fhir/Patient/1", x_request_id="abc")

    stack, request = await lines(log)
    assert (stack["exception"], stack["request_id"], request["request_id"]) == ("ValueError", "abc", "abc")
    assert stack["stack"][-1].endswith(" fail")
    assert (request["status"], request["level"]) == (500, "error")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ((("name", "张"), ("birthdate", "ge2020")), "name=***&birthdate=***"),
        ((("name:exact", "x"),), "name:***=***"),
        ((("patient.name", "x"),), "patient.***=***"),
        ((("_has:Condition:patient:code", "x"),), "_has:***=***"),
        ((("zhangwei", ""), ("zhang.name", "x"), ("", "x")), "***=***&***=***&***=***"),
        ((), ""),
    ],
)
def test_queries_are_shown_by_known_names_only(query: tuple[tuple[str, str], ...], shown: str) -> None:
    assert redacted(query, KNOWN) == shown


async def test_lines_of_libraries_lose_what_follows_their_first_line(log: io.StringIO) -> None:
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: ValueError('张伟')")

    assert json.loads(log.getvalue().splitlines()[-1])["event"] == "Task exception was never retrieved"


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Collect what a server logs whose operator wants to know everything."""
    stream, root, driver = io.StringIO(), logging.getLogger(), logging.getLogger("pymongo")
    levels = root.level, driver.level
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(root, "handlers", [])
    for name in ("logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, getattr(logging, name))
    configure_logging("debug")
    yield stream
    root.setLevel(levels[0])
    driver.setLevel(levels[1])


def test_where_the_database_lies_and_what_it_is_asked_is_in_no_log(configured: io.StringIO) -> None:
    for name in ("command", "connection", "serverSelection", "topology"):
        logging.getLogger(f"pymongo.{name}").debug('{"serverHost": "db1.hospital.example", "filter": {}}')
    logging.getLogger("fhir_server.rest").debug("told")
    logging.getLogger("pymongo.client").warning("opened before fork")

    assert [json.loads(line)["event"] for line in configured.getvalue().splitlines()] == [
        "told",
        "opened before fork",
    ]


async def test_a_cancelled_request_is_still_counted_and_logged(client: Any, log: io.StringIO) -> None:
    async def hang(_request: Request) -> Reply:
        await asyncio.sleep(5)
        return Reply(200)

    client.answer = hang
    task = asyncio.create_task(client("GET", "/fhir/Patient/1"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [line["status"] for line in await lines(log)] == [499]


async def test_lines_of_one_turn_are_written_as_one_piece_in_order(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    monkeypatch.setattr("fhir_server.rest.logs.stderr", Stream)
    logging.getLogger("fhir_server.access").setLevel(logging.INFO)
    for name in ("one", "two"):
        await client("GET", "/fhir/Patient/1", x_request_id=name)
    await asyncio.sleep(0)
    logging.getLogger("fhir_server.access").setLevel(logging.NOTSET)

    (piece,) = written
    assert [json.loads(line)["request_id"] for line in piece.splitlines()] == ["one", "two"]


async def test_a_log_that_cannot_be_written_stops_no_answer(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    monkeypatch.setattr("fhir_server.rest.logs.stderr", Broken)
    logging.getLogger("fhir_server.access").setLevel(logging.INFO)
    response = await client("GET", "/fhir/Patient/1")
    await asyncio.sleep(0)
    logging.getLogger("fhir_server.access").setLevel(logging.NOTSET)

    assert (response.status, failures) == (200, [])
