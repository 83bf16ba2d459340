"""The store finds what the Consents permit: searches over random Consents equal the plain evaluation.

The third voice beside ``search.match`` and ``consent.plain`` (tests/consent/test_agreement.py).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.clock import instant, now_ms
from fhir_server.consent.asking import Asking
from fhir_server.consent.combine import slices, spoken
from fhir_server.consent.groups import Consents
from fhir_server.consent.plain import decide
from fhir_server.consent.plain_records import Record
from fhir_server.consent.source import Directive, directive
from fhir_server.crypto.keys import KeyRing
from fhir_server.resources.codec import decode, encode, with_meta
from fhir_server.search.match import ClassOf, Referrers, Resolve, matches, passes
from fhir_server.search.parameters import CLINICAL_DATE
from fhir_server.search.predicate import Predicate, TokenIs, Where
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Change, Reclass
from fhir_server.store.sqlite.store import Options, SqliteStore
from tests.consent.wishes import EXTRACTOR, OWN_TAG, WORLD, ZONE, Shelf, Tree, askings, consents

OWN = TokenIs(OWN_TAG["system"], OWN_TAG["code"])


def _matcher(  # the store's own question, for what is not indexed
    predicate: Predicate, type_: str, body: bytes, resolve: Resolve, referrers: Referrers, class_of: ClassOf
) -> bool:
    tree = decode(body)
    return matches(predicate, type_, tree["id"], EXTRACTOR.extract(tree), resolve, referrers, class_of)


def opened(folder: Path) -> SqliteStore:
    return SqliteStore.open(
        folder / "data",
        KeyRing.create(folder / "keys", "standard"),
        extractor=EXTRACTOR.from_body,
        matcher=_matcher,
        clinical=CLINICAL_DATE,
        options=Options(threads=1),
    )


def _change(tree: Tree) -> Change:
    updated = 1_700_000_000_000
    whole = with_meta(tree, tree["id"], 1, instant(updated))
    return Change(
        tree["resourceType"], tree["id"], 1, updated, "PUT", encode(whole), EXTRACTOR.extract(whole)
    )


async def _found(
    directives: list[Directive], asked: list[Asking], world: tuple[Tree, ...]
) -> dict[tuple[int, str], list[str]]:
    """Return the ids that a store finds of each type for each asking."""
    with TemporaryDirectory() as folder:
        store = opened(Path(folder))
        try:
            reclass = Reclass("p", 0, spoken(slices(directives)))
            await store.commit([store.prepare(_change(tree)) for tree in world], reclasses=[reclass])
            known = Consents()
            known.learn(await store.policies.rules())
            found = {}
            for at, asking in enumerate(asked):
                for type_ in {tree["resourceType"] for tree in world}:
                    condition = known.condition(asking, type_, Where("_tag", OWN))
                    page = await store.search(
                        Visibility.everything("test"), Query(type_, condition, total="accurate")
                    )
                    assert page.total == len(page.matches)
                    found[at, type_] = sorted(each.id for each in page.matches)
        finally:
            await store.close()
    return found


@settings(max_examples=50, deadline=None)
@given(st.tuples(consents("1"), consents("2")), st.lists(askings(), min_size=4, max_size=4), WORLD)
def test_a_search_finds_what_the_consents_permit_and_counts_it(
    filed: tuple[Tree, ...], asked: list[Asking], world: tuple[Tree, ...]
) -> None:
    directives = [each for tree in filed if (each := directive(tree, ZONE)) is not None]
    shelf = Shelf(world)

    for (at, type_), ids in asyncio.run(_found(directives, asked, world)).items():
        expected = [
            id_
            for (named, id_), values in shelf.records.items()
            if named == type_
            and (
                not values.patients
                or decide(
                    directives,
                    asked[at],
                    Record(type_, id_, values, shelf.resolve),
                    now_ms(),
                    own=passes(OWN, "_tag", values),
                ).permit
            )
        ]
        assert ids == sorted(expected), (asked[at], type_)
