"""Policy classes: patients are put under rules in the commit that says so, and nobody overtakes another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.clock import now_ms
from fhir_server.faults import Fault
from fhir_server.search.predicate import IdIn
from fhir_server.store.api import Expectation, Reclass, Slice, Stale
from fhir_server.store.policies import Span, Standing
from tests.contract.store_world import ALL, change, put

ALWAYS = (-(2**62), 2**62)


def always(rule: bytes) -> tuple[Slice, ...]:
    return (Slice(*ALWAYS, rule),)


async def file(store: Any, *reclasses: Reclass) -> None:
    await store.commit([], (), reclasses)


async def test_a_patient_of_whom_nothing_is_known_stands_in_class_0(store: Any) -> None:
    assert await store.policies.standing(["a", "b"]) == [Standing("a"), Standing("b")]
    assert await store.policies.classes(["a", "b"]) == {"a": 0, "b": 0}
    assert await store.policies.rules() == []
    assert (await store.stamps()).classes == 0


async def test_what_was_filed_is_read_again_in_order(store: Any) -> None:
    slices = (Slice(-5, 0, b"one"), Slice(0, 7, b"two"), Slice(9, 12, b"one"))

    await file(store, Reclass("a", 0, slices, "note 张".encode()), Reclass("b", 0, always(b"two")))

    a, nobody, b = await store.policies.standing(["a", "nobody", "b"])
    assert a == Standing("a", 1, (Span(-5, 0, 1), Span(0, 7, 2), Span(9, 12, 1)), "note 张".encode())
    assert b == Standing("b", 1, (Span(*ALWAYS, 2),))
    assert nobody == Standing("nobody")
    assert await store.policies.rules() == [(1, b"one"), (2, b"two")]
    assert await store.policies.rules(1) == [(2, b"two")]
    assert (await store.stamps()).classes == 2


async def test_equal_rules_share_a_number_that_is_never_given_to_another(store: Any) -> None:
    await file(store, *(Reclass(f"p{number}", 0, always(b"same")) for number in range(20)))
    await file(store, *(Reclass(f"p{number}", 1, ()) for number in range(20)))
    await file(store, Reclass("q", 0, always(b"other")))
    await file(store, Reclass("q", 1, always(b"same")))

    assert await store.policies.rules() == [(1, b"same"), (2, b"other")]
    assert await store.policies.classes(["q", "p1"]) == {"q": 1, "p1": 0}


async def test_used_are_the_classes_that_somebody_is_in_now_or_later(store: Any) -> None:
    now = now_ms()
    gone, current, later = (
        Slice(0, now - 9, b"gone"),
        Slice(5, now + 10**7, b"now"),
        Slice(now + 10**7, now + 10**8, b"later"),
    )
    assert await store.policies.used() == frozenset()

    await file(store, Reclass("a", 0, (Slice(0, 4, b"gone"), current, later)), Reclass("b", 0, (gone,)))
    assert await store.policies.used() == {2, 3}

    await file(store, Reclass("a", 1, ()))
    assert await store.policies.used() == frozenset()

    await file(store, Reclass("b", 1, always(b"gone")))
    assert await store.policies.used() == {1}


async def test_every_filing_is_noticed(store: Any) -> None:
    seen = [(await store.stamps()).governing]
    for version in range(3):
        await file(store, Reclass("a", version, always(b"x") if version % 2 == 0 else ()))
        seen.append((await store.stamps()).governing)

    assert len(set(seen)) == len(seen)


async def test_a_filing_replaces_what_was_filed_before(store: Any) -> None:
    await file(store, Reclass("a", 0, (Slice(0, 5, b"x"), Slice(5, 9, b"y")), b"first"))

    await file(store, Reclass("a", 1, (Slice(3, 4, b"z"),)))

    assert await store.policies.standing(["a"]) == [Standing("a", 2, (Span(3, 4, 3),))]


async def test_who_worked_from_an_old_standing_is_stale(store: Any) -> None:
    await file(store, Reclass("a", 0, always(b"x"), b"kept"))

    for seen in (0, 2):
        with pytest.raises(Stale):
            await file(store, Reclass("a", seen, always(b"y")))

    [standing] = await store.policies.standing(["a"])
    assert (standing.version, standing.note) == (1, b"kept")
    assert await store.policies.rules() == [(1, b"x")]


async def test_of_many_at_once_each_knows_the_one_before(store: Any) -> None:
    """Writers that read, work out and file again when they were overtaken lose nothing."""

    async def add(name: str) -> None:
        while True:
            [standing] = await store.policies.standing(["a"])
            try:
                await file(
                    store,
                    Reclass("a", standing.version, always(standing.note), standing.note + name.encode()),
                )
            except Stale:
                await asyncio.sleep(0)
            else:
                return

    await asyncio.gather(*(add(name) for name in "abcdefghijkl"))

    [standing] = await store.policies.standing(["a"])
    assert standing.version == 12
    assert sorted(standing.note.decode()) == list("abcdefghijkl")


async def test_records_and_classes_are_written_together_or_not_at_all(store: Any) -> None:
    consent = store.prepare(change("Consent", "c"))
    await store.commit([consent], (), [Reclass("a", 0, always(b"x"))])
    again, late = (store.prepare(change("Consent", id_, 1)) for id_ in ("c", "d"))

    with pytest.raises(Stale):
        await store.commit([again], (), [Reclass("a", 1, always(b"y"))])
    with pytest.raises(Stale):
        await store.commit([late], (), [Reclass("a", 0, always(b"y"))])
    condition = Expectation("Consent", IdIn(("c",)), ALL, ())
    with pytest.raises(Stale):
        await store.commit([late], (condition,), [Reclass("a", 1, always(b"y"))])

    assert await store.read(ALL, "Consent", "d") is None
    assert [standing.version for standing in await store.policies.standing(["a"])] == [1]
    assert await store.policies.rules() == [(1, b"x")]


async def test_a_commit_beside_one_that_is_refused_is_written(store: Any) -> None:
    """Commits that wait together are one transaction, and still each stands for itself."""
    filings = [Reclass("a", seen, always(b"%d" % number)) for number, seen in enumerate((0, 0, 1, 5))]

    outcomes = await asyncio.gather(*(file(store, each) for each in filings), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [type(None), Stale, type(None), Stale]
    [standing] = await store.policies.standing(["a"])
    assert (standing.version, len(standing.spans)) == (2, 1)
    assert await store.policies.rules() == [(1, b"0"), (2, b"2")]


@pytest.mark.parametrize(
    "slices",
    [
        (Slice(0, 5, b"x"), Slice(4, 9, b"y")),
        (Slice(5, 9, b"x"), Slice(0, 5, b"y")),
        (Slice(5, 5, b"x"),),
        (Slice(5, 4, b"x"),),
    ],
    ids=["overlapping", "out of order", "empty", "turned round"],
)
async def test_slices_that_contradict_each_other_are_refused(store: Any, slices: tuple[Slice, ...]) -> None:
    with pytest.raises(ValueError, match="slice"):
        await file(store, Reclass("a", 0, slices))

    assert await store.policies.standing(["a"]) == [Standing("a")]


async def test_a_patient_is_filed_once_in_a_commit(store: Any) -> None:
    with pytest.raises(ValueError, match="twice"):
        await file(store, Reclass("a", 0, always(b"x")), Reclass("a", 1, always(b"y")))

    await put(store, change("Patient", "a"))
    assert await store.policies.rules() == []


async def test_another_id_with_the_same_digest_is_refused_and_learns_nothing(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = store._tools.blind.target
    await file(store, Reclass("first", 0, always(b"x"), b"kept"))
    with monkeypatch.context() as patch:
        patch.setattr(store._tools.blind, "target", lambda text: plain(text.replace("twin", "first")))

        assert await store.policies.standing(["twin"]) == [Standing("twin")]
        with pytest.raises(Fault, match="choose another"):
            await file(store, Reclass("twin", 1, always(b"y")))

    assert (await store.policies.standing(["first"]))[0].note == b"kept"


async def test_another_rule_with_the_same_digest_is_refused(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await file(store, Reclass("a", 0, always(b"x")))
    digest = store._tools.blind.rule(b"x")
    with monkeypatch.context() as patch:
        patch.setattr(store._tools.blind, "rule", lambda _: digest)

        with pytest.raises(Fault, match="consent"):
            await file(store, Reclass("b", 0, always(b"y")))

    assert await store.policies.rules() == [(1, b"x")]
    assert await store.policies.standing(["b"]) == [Standing("b")]
