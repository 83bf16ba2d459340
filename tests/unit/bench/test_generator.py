"""The generator counts every answer once, calls refusals refusals, keeps its pace, and stops by itself."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.bench import job as jobs
from tests.bench.generator import Generator
from tests.bench.job import Job, LoadError, Report, Stream
from tests.bench.wire import request
from tests.unit.bench.serving import OK, Answer, served

_GET = request("GET", "/x", "127.0.0.1")


def _requests(count: int, size: int = 10) -> list[bytes]:
    return [request("POST", f"/{number}", "127.0.0.1", b"x" * size) for number in range(count)]


def _run(
    answer: Answer, *streams: Stream, seconds: float = 5.0, grace: float = 5.0
) -> tuple[Report, list[bytes]]:
    with served(answer) as (port, seen):
        return Generator(Job(port, streams, seconds, grace)).run(), seen


def test_sends_each_request_once_and_counts_each_answer() -> None:
    report, seen = _run(lambda _line: OK, Stream("s", 4, _requests(50), once=True))

    outcome = report.outcomes[0]
    assert sorted(seen) == sorted(b"POST /%d HTTP/1.1\r\n" % number for number in range(50))
    assert (outcome.answered, outcome.refused) == (50, 0)
    assert all(0 < latency <= outcome.elapsed for latency in outcome.latencies)


def test_sends_bodies_larger_than_a_socket_takes_at_once() -> None:
    report, _ = _run(lambda _line: OK, Stream("s", 2, _requests(4, size=5_000_000), once=True))

    assert report.outcomes[0].answered == 4


def test_ends_at_the_deadline_when_requests_go_round() -> None:
    report, _ = _run(lambda _line: OK, Stream("s", 2, [_GET]), seconds=0.2)

    assert 0.1 < report.outcomes[0].elapsed < 2
    assert report.outcomes[0].answered > 2


def test_counts_refusals_apart_from_answers_and_keeps_the_first() -> None:
    def answer(line: bytes) -> bytes:
        bad = b"HTTP/1.1 422 No\r\ncontent-length: 3\r\n\r\nwhy"
        return bad if line.startswith(b"POST /3 ") else OK

    report, _ = _run(answer, Stream("s", 1, _requests(5), once=True))

    outcome = report.outcomes[0]
    assert (outcome.answered, outcome.refused, outcome.refusal) == (4, 1, "HTTP 422: why")


def test_counts_what_a_server_that_hangs_up_left_unanswered() -> None:
    def answer(line: bytes) -> bytes | None:
        return None if line.startswith(b"POST /2 ") else OK

    report, _ = _run(answer, Stream("s", 1, _requests(5), once=True))

    outcome = report.outcomes[0]
    assert (outcome.answered, outcome.refused) == (2, 1)
    assert outcome.refusal == "the server closed the connection"


def test_counts_what_was_never_answered() -> None:
    report, _ = _run(lambda _line: b"", Stream("s", 2, [_GET]), seconds=0.05, grace=0.1)

    assert (report.outcomes[0].answered, report.outcomes[0].refused) == (0, 2)
    assert report.outcomes[0].refusal.startswith("no answer within")


def test_keeps_the_pace_it_was_given() -> None:
    report, _ = _run(lambda _line: OK, Stream("s", 4, [_GET], rate=200), seconds=0.5)

    assert 80 <= report.outcomes[0].answered <= 104


def test_a_stall_is_charged_for_every_request_that_was_due_meanwhile() -> None:
    stall = threading.Event()
    stalled: list[bool] = []

    def answer(_line: bytes) -> bytes:
        if not stalled:
            stalled.append(stall.wait(0.3))
        return OK

    report, _ = _run(answer, Stream("s", 1, [_GET], rate=100), seconds=0.5)

    assert sum(latency > 0.1 for latency in report.outcomes[0].latencies) >= 15


def test_one_stream_that_is_used_up_ends_the_others() -> None:
    streams = Stream("a", 2, [_GET]), Stream("b", 1, _requests(20), once=True)
    report, _ = _run(lambda _line: OK, *streams, seconds=20)

    assert report.outcomes[1].answered == 20
    assert report.outcomes[0].elapsed < 10


def test_runs_in_a_process_of_its_own() -> None:
    with served(lambda _line: OK) as (port, _):
        report = jobs.run(Job(port, [Stream("s", 2, _requests(10), once=True)], 5))

    assert report.outcomes[0].answered == 10
    assert report.cpu_per_request > 0
    assert report.outcomes[0].milliseconds(0.5) > 0


def test_a_stream_that_nobody_answers_is_an_error_with_the_reason() -> None:
    with (
        served(lambda _line: b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nfull") as (port, _),
        pytest.raises(LoadError, match="503: full"),
    ):
        jobs.run(Job(port, [Stream("s", 1, _requests(3), once=True)], 5))


def test_nobody_listening_is_an_error_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(LoadError, match="refused"):
        jobs.run(Job(port, [Stream("s", 1, _requests(1), once=True)], 5))
