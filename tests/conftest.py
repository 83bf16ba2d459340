"""What all tests share: Hypothesis on a busy machine, the engine that servers use, logging given back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import engines

# Deadlines and "too slow" measure how busy the machine is, not whether the code is right.
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("house")

MARKERS = (
    "every_engine(one_in=1): run on SQLite and on MongoDB, there with one in so many callers for each row",
    "one_engine: run on the suite's own engine alone, in a file that is run on every one",
    "sqlite_file(reason): about SQLite's file; not run when the suite runs on MongoDB",
)
_LEFT_OUT = "left out on this engine"
_REASONS = pytest.StashKey[dict[str, int]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    config.stash[_REASONS] = {}


def pytest_report_header() -> str:
    """Say which engine the servers of the tests use."""
    return f"engine: {engines.DEFAULT}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked so on every engine."""
    marked = metafunc.definition.get_closest_marker
    if engines.DEFAULT == engines.SQLITE and marked("every_engine") and not marked("one_engine"):
        metafunc.parametrize("engine", engines.ENGINES, indirect=True, scope="module")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about SQLite's file when the suite runs on MongoDB; count it by reason."""
    if engines.DEFAULT == engines.SQLITE:
        skipped = {item for item in items if not _is_in_sample(item)}
        config.hook.pytest_deselected(items=list(skipped))
        items[:] = [item for item in items if item not in skipped]
        return
    reasons = config.stash[_REASONS]
    gone = []
    for item in items:
        if marker := item.get_closest_marker("sqlite_file"):
            gone.append(item)
            reasons[marker.args[0]] = reasons.get(marker.args[0], 0) + 1
    config.hook.pytest_deselected(items=gone)
    items[:] = [item for item in items if item not in set(gone)]
    if output := getattr(config, "workeroutput", None):
        output[_LEFT_OUT] = reasons


def _is_in_sample(item: pytest.Item) -> bool:
    """Tell whether a row of a table is run on its engine: the suite's own runs all of them.

    The other one runs each row with one caller, and the next row with another.
    """
    marker = item.get_closest_marker("every_engine")
    one_in = marker.kwargs.get("one_in", 1) if marker else 1
    places = dict(item.callspec.indices) if one_in > 1 and isinstance(item, pytest.Function) else {}
    if places.pop("engine", 0) == 0 or len(places) < 2:
        return True
    # All parameters of a table have the number of its combination here, the callers changing fastest.
    row, caller = divmod(max(places.values()), one_in)
    return (row + caller) % one_in == 0


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker has left out: each worker collects the same tests."""
    node.config.stash[_REASONS].update(getattr(node, "workeroutput", {}).get(_LEFT_OUT, {}))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """List what was left out, and why."""
    if reasons := config.stash[_REASONS]:
        terminalreporter.section(_LEFT_OUT)
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count} tests: {reason}")


@pytest.fixture(scope="module", autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Have servers use this engine; a fixture that starts one must ask for this one."""
    name: str = getattr(request, "param", engines.DEFAULT)
    with engines.using(name):
        yield name


@pytest.fixture(scope="module", autouse=True)
def _logging_restored() -> Iterator[None]:
    """Give back the process's logging, which create_app() configures."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    flags = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = flags
