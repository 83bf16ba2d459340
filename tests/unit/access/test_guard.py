"""The write guard judges what is not stored yet, links and policy classes by what is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.access.actor import Actor
from fhir_server.access.decide import LETTERS, Decision
from fhir_server.access.guard import Guard, Image
from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import (
    EVERYTHING,
    About,
    All,
    AnyOf,
    Chain,
    Has,
    IdIn,
    Not,
    Predicate,
    TokenIs,
    Where,
)
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Reclass, Slice
from tests.contract.store_world import change, open_sqlite, put, values_of

SECRET = Where("label", TokenIs("s", "secret"))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Any]:
    opened = open_sqlite(tmp_path)
    await put(
        opened,
        change("Patient", "secret", tokens=[["label", "s", "secret"]], patients=["secret"]),
        change("Patient", "open", patients=["open"]),
        change("Group", "g", references=[["member", "Observation/new"]], tokens=[["label", "s", "secret"]]),
    )
    await opened.commit([], (), [Reclass("secret", 0, (Slice(-(2**62), 2**62, b"no"),))])
    yield opened
    await opened.close()


def decision(rule: Predicate) -> Decision:
    seen = Visibility("test", {"Observation": rule, "Patient": EVERYTHING})
    return Decision(
        Actor("test"), dict.fromkeys(LETTERS, frozenset()), dict.fromkeys(LETTERS, seen), patients=EVERYTHING
    )


def image(type_: str = "Observation", id_: str = "new", **raw: Any) -> Image:
    return Image("c", type_, id_, values_of(raw), None, {})


async def may_write(store: Any, rule: Predicate, *images: Image) -> bool:
    try:
        await Guard(decision(rule), store, images).check(images[0])
    except Fault:
        return False
    return True


DENIED = Not(About(frozenset({1})))


@pytest.mark.parametrize(
    ("rule", "raw", "expected"),
    [
        (DENIED, {"patients": ["open"]}, True),
        (DENIED, {"patients": ["secret"]}, False),
        (DENIED, {"patients": ["open", "secret"]}, False),
        (DENIED, {"patients": []}, True),
        (Not(About(frozenset(), 0)), {"patients": ["secret"]}, False),
        (About(frozenset({0})), {"patients": ["open"]}, True),
        (About(frozenset({0})), {"patients": ["secret"]}, False),
        (AnyOf((SECRET, DENIED)), {"patients": ["secret"], "tokens": [["label", "s", "secret"]]}, True),
        (All((Not(SECRET), DENIED)), {"patients": ["open"]}, True),
        (All((SECRET, DENIED)), {"patients": ["open"]}, False),
        (IdIn(("new",)), {}, True),
        (IdIn(("old",)), {}, False),
        (Chain("subject", "Patient", SECRET), {"references": [["subject", "Patient/secret"]]}, True),
        (Chain("subject", "Patient", SECRET), {"references": [["subject", "Patient/open"]]}, False),
        (Chain("subject", "Patient", DENIED), {"references": [["subject", "Patient/secret"]]}, False),
        (Chain("subject", "Patient", DENIED), {"references": [["subject", "Patient/open"]]}, True),
        (Has("Group", "member", SECRET), {}, True),
        (Has("Group", "member", Not(SECRET)), {}, False),
    ],
    ids=str,
)
async def test_what_is_written_is_judged_by_its_own_values_and_what_is_stored(
    store: Any, rule: Predicate, raw: dict[str, Any], expected: bool
) -> None:
    assert await may_write(store, rule, image(**raw)) is expected


async def test_what_the_same_commit_leaves_counts_before_what_is_stored(store: Any) -> None:
    rule = Chain("subject", "Patient", SECRET)
    written = image(references=[["subject", "Patient/secret"]])
    opened = image("Patient", "secret", patients=["secret"])
    classed = Chain("subject", "Patient", Not(About(frozenset({1}))))

    assert await may_write(store, rule, written)
    assert not await may_write(store, rule, written, opened)
    assert not await may_write(store, classed, written, opened)
    assert await may_write(store, classed, written, image("Patient", "secret", patients=["open"]))


async def test_a_patient_about_whom_one_may_not_write_is_refused_wherever_it_is_named(store: Any) -> None:
    narrow = Decision(
        Actor("test"),
        dict.fromkeys(LETTERS, frozenset()),
        dict.fromkeys(LETTERS, Visibility.everything("test")),
        patients=Not(SECRET),
    )
    for patients, expected in ((["open"], True), (["open", "secret"], False), ([], True)):
        written = image(references=[["subject", f"Patient/{each}"] for each in patients])
        guard = Guard(narrow, store, [written])
        if expected:
            await guard.check(written)
        else:
            with pytest.raises(Fault, match="belong to a patient") as fault:
                await guard.check(written)
            assert fault.value.kind is Kind.FORBIDDEN
    # Consents count for a Task; rights follow the compartment, and R4 puts it into none.
    task = image("Task", references=[["subject", "Patient/secret"]])
    await Guard(narrow, store, [task]).check(task)
