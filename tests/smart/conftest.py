"""One server for the tests of a file; those that need other settings start their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import engines
from tests.smart.world import World


@pytest.fixture(scope="module")
def world(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Serve with a public app, a patient, a proxy, a practitioner."""
    with engines.using(engine):
        made = World(tmp_path_factory.mktemp("data"))
        made.start()
        populate(made)
        yield made
        made.close()


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Start servers with settings of their own."""
    with ExitStack() as stack:
        count = iter(range(100))

        def start(**changes: object) -> World:
            made = World(tmp_path / f"data-{next(count)}", **changes)
            made.start()
            stack.callback(made.close)
            populate(made)
            return made

        yield start


def populate(world: World) -> None:
    """Add the usual accounts and apps."""
    world.client("app")
    world.user("li", roles=("patient",), fhir_user="Patient/li")
    world.user(
        "zhao", roles=("patient", "proxy"), fhir_user="Patient/zhao", proxies=("RelatedPerson/sun-mother",)
    )
    world.user(
        "wang", roles=("practitioner",), fhir_user="Practitioner/wang", organization="Organization/north"
    )
