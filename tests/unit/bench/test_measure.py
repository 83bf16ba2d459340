"""A row that a server refused is left out and told; other rows stand, and the run is no success."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench.job import Job, Stream
from tests.bench.measure import Bench
from tests.bench.plans import Plan, Reading, rate
from tests.bench.servers import Server
from tests.bench.wire import request
from tests.unit.bench.serving import OK, Answer, served

_NO = b"HTTP/1.1 500 No\r\ncontent-length: 4\r\n\r\noops"


def _good(_line: bytes) -> bytes:
    return OK


def _bad(_line: bytes) -> bytes:
    return _NO


@contextmanager
def _bench(ours: Answer, two_workers: Answer, peer: Answer, ceiling: Answer = _good) -> Iterator[Bench]:
    with ExitStack() as stack:
        ports = [stack.enter_context(served(answer))[0] for answer in (ours, two_workers, ceiling, peer)]
        names = ("ours", "two", "ceiling", "peer")
        first, two, bare, other = (
            Server(name, [], port, "/", Path(name)) for name, port in zip(names, ports, strict=True)
        )
        yield Bench(first, two, bare, other, rounds=2, say=lambda _sentence: None)


def _job(server: Server) -> Job:
    return Job(server.port, [Stream("s", 1, [request("GET", "/", server.authority)] * 5, once=True)], 5)


_PLAN = Plan(
    lambda: _job, (Reading("row", "1/s", rate),), lambda report: report.outcomes[0].answered, ceiling=True
)


def test_a_row_compares_medians_of_all_servers() -> None:
    with _bench(_good, _good, _good) as bench:
        bench.carry_out(_PLAN)

    names = [figure.name for figure in bench.figures]
    assert names[:2] == ["row", "row, --workers 2"]
    assert names[2].startswith("row: ceiling")
    assert names[3] == "load generator's own cost"
    assert bench.figures[0].ratio is not None
    assert (bench.failed, bench.notes, bench.stored["ours"]) == (False, [], 10)


def test_a_refusal_of_ours_costs_the_row_and_the_success_of_the_run() -> None:
    with _bench(_bad, _good, _good) as bench:
        bench.carry_out(_PLAN)

    assert "row" not in [figure.name for figure in bench.figures]
    assert "row, --workers 2" in [figure.name for figure in bench.figures]
    assert bench.failed
    assert bench.notes == ["row, not measured: ours: s: no request was answered with success. HTTP 500: oops"]


def test_a_refusal_of_the_peer_leaves_its_column_blank() -> None:
    with _bench(_good, _good, _bad) as bench:
        bench.carry_out(_PLAN)

    assert (bench.figures[0].name, bench.figures[0].peer) == ("row", None)
    assert not bench.failed
    assert len(bench.notes) == 1


def test_a_single_refusal_among_successes_is_one_too_many() -> None:
    answers = iter([OK, OK, _NO])
    with _bench(lambda _line: next(answers, OK), _good, _good) as bench:
        bench.carry_out(_PLAN)

    assert bench.failed
    assert bench.notes == ["row, not measured: ours: 1 refused. HTTP 500: oops"]
