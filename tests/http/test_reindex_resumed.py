"""A reindex that is killed at any of its steps is finished by the next process, and nothing is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.clock import now_ms
from fhir_server.interactions.known import Known
from fhir_server.jobs.reindex import KIND, Reindex, following, outdated
from fhir_server.jobs.runner import SILENT_MS, JobRunner, Task
from fhir_server.search.extract import Extractor
from fhir_server.search.parameters import Custom, Parameter
from fhir_server.store.api import Store
from tests.http.server import Server, Tree, bundle, entry
from tests.http.test_custom_parameters import definition, person


class Killed(BaseException):
    """Stands for the end of a process: nothing above may handle it."""


class Mortal(Task):
    """A task whose process dies when it saves for the n-th time."""

    left = 0

    async def save(self, *, at_once: bool = False) -> None:  # noqa: ARG002 - every save is a step to die at
        await super().save(at_once=True)
        self.left -= 1
        if self.left <= 0:
            raise Killed


async def killed(store: Store, works: Reindex, saves: int) -> None:
    """Claim the reindex and die at its n-th save."""
    job = await store.jobs.claim("dead", frozenset({KIND}), now_ms(), 0)
    assert job is not None
    task = Mortal(job, store.jobs, "dead")
    task.left = saves
    with pytest.raises(Killed):
        await works(task)


async def finished(store: Store, works: Reindex) -> None:
    """Take the job over from the dead owner, and carry it out."""
    later = now_ms() + SILENT_MS + 1
    job = await store.jobs.claim("next", frozenset({KIND}), later, later - SILENT_MS)
    assert job is not None
    await works(Task(job, store.jobs, "next"))
    await store.jobs.finish(job.id, "next", "done", "Done.", later)


@pytest.mark.parametrize("saves", [1, 2, 3, 4, 5])
def test_what_was_killed_is_finished_by_the_next(serve: Callable[..., Server], saves: int) -> None:
    server = serve()
    people: list[Tree] = [entry("POST", "Patient", person("HA" if n % 2 else "ZA")) for n in range(150)]
    assert server.post("", bundle("transaction", people)).status_code == 200
    server.create(definition())
    service = server._app._service
    assert service is not None
    assert service.jobs is not None
    server._runner.run(service.jobs.close())
    assert server.post("$reindex", None).status_code == 202
    extractor: Any = service.store._tools.extractor.__self__  # type: ignore[attr-defined]
    assert isinstance(extractor, Extractor)
    works = Reindex(service.store, Known(service.store, extractor))

    server._runner.run(killed(service.store, works, saves))
    server.create(person("HA"))
    server._runner.run(finished(service.store, works))

    assert len(server.find("Patient?ethnic-group=HA&_count=200")) == 76
    assert len(server.find("Patient?ethnic-group=ZA&_count=200")) == 75
    assert server._runner.run(service.store.check()) == []
    assert not server._runner.run(JobRunner(service.store.jobs, {KIND: works}).run_next())


def made(code: str, expression: str, *base: str, active: bool = True) -> Custom:
    return Custom(Parameter(code, "token", f"urn:{code}", expression), base, active)


def test_what_is_unchanged_stays_active_and_the_rest_is_to_be_built() -> None:
    same, before = made("a", "Patient.gender", "Patient"), made("b", "Patient.gender", "Patient")
    changed = made("b", "Patient.active", "Patient", active=False)
    wanted = [made("a", "Patient.gender", "Patient", active=False), changed]

    after = following((same, before), wanted)

    assert after == (same, changed)
    assert outdated((same, before), after) == [("Patient", "b")]


def test_a_type_that_a_parameter_no_longer_has_is_outdated() -> None:
    before = made("a", "Patient.gender", "Patient", "Person")
    after = made("a", "Patient.gender", "Patient", active=False)

    assert outdated((before,), (after,)) == [("Person", "a")]
    assert outdated((before,), ()) == [("Patient", "a"), ("Person", "a")]
