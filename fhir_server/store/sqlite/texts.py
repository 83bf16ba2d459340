"""Strings and places compiled: the index narrows them down, the opened resource decides.

https://hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fhir_server.crypto.blind import CHUNK_BYTES, PREFIX_CHARACTERS, following
from fhir_server.search.predicate import Near, StringContains, StringStarts, Test, Where
from fhir_server.store.cells import covering
from fhir_server.store.sqlite.fragment import TRUE, Conjunct, Cost, Sql, all_true
from fhir_server.store.sqlite.kit import Field, Kit, among
from fhir_server.store.sqlite.records import json_array

_LOOKED_UP: Final = 16
"""A candidate is looked up under fewer strings than these; with more, all their rows are read as a set."""


def starts(text: str, field: Field, kit: Kit) -> Conjunct:
    """Compile a search for the beginning of strings, already folded."""
    least = kit.blind.prefix(text[:PREFIX_CHARACTERS])
    beyond = following(least)
    upper = TRUE if beyond is None else Sql("k<?", (beyond,))
    key = all_true([Sql("p=?", (field.p,)), Sql("k>=?", (least,)), upper])
    rows = Sql(f"SELECT s.sk FROM text x CROSS JOIN str s ON s.t=x.t WHERE {key.text}", key.args)
    if len(text) > PREFIX_CHARACTERS:
        # The index knows the first characters only; the rest is compared with the opened resource.
        return then_opened(rows, field, StringStarts(text), kit)
    found = among(rows, (field, StringStarts(text), kit))
    if kit.size(Sql(f"SELECT 1 FROM text WHERE {key.text}", key.args), _LOOKED_UP) == _LOOKED_UP:
        return found

    def looked_up(sk: str) -> Sql:
        has_one = "EXISTS (SELECT 1 FROM text x CROSS JOIN str s ON s.t=x.t AND s.sk="
        return Sql(f"{has_one}{sk} WHERE {key.text})", key.args)

    return replace(found, test=looked_up, cost=Cost.POINT)


def then_opened(candidates: Sql, field: Field, test: Test, kit: Kit) -> Conjunct:
    """Compile a test whose rows the index narrows down and the opened resource decides."""

    def opened(sk: str) -> Sql:
        return kit.opened(field.type, Where(field.code, test), sk)

    def rows() -> Sql:
        c = next(kit.names)
        passing = opened(f"{c}.sk")
        return Sql(
            f"SELECT {c}.sk FROM (SELECT DISTINCT sk FROM ({candidates.text})) {c} WHERE {passing.text}",
            candidates.args + passing.args,
        )

    return Conjunct(opened, rows, label=field.code, cost=Cost.RECORD, is_dear=True)


def contains(part: str, field: Field, kit: Kit) -> Conjunct:
    """Compile a search within strings: one resource is opened for each different string, known ones aside."""
    # A character takes up the same room in every key, so that shorter strings are passed over unopened.
    room = CHUNK_BYTES * min(len(part), PREFIX_CHARACTERS)

    def rows() -> Sql:
        d, h, v, s = (next(kit.names) for _ in range(4))
        return Sql(
            f"SELECT {s}.sk FROM text {d} CROSS JOIN head {h}"
            f" ON {h}.sk=(SELECT min(sk) FROM str WHERE t={d}.t) CROSS JOIN version {v} ON {v}.rk={h}.rk"
            f" CROSS JOIN str {s} ON {s}.t={d}.t WHERE {d}.p=? AND length({d}.k)>=? AND"
            f" coalesce(known({d}.e, ?), contains(?, {h}.h, {v}.ver, {v}.payload, ?, {d}.e, ?))",
            (field.p, room, part, field.type, field.code, part),
        )

    return Conjunct(
        lambda sk: kit.opened(field.type, Where(field.code, StringContains(part)), sk),
        rows,
        label=field.code,
        cost=Cost.RECORD,
        is_dear=True,
    )


def near(test: Near, field: Field, kit: Kit) -> Conjunct:
    """Compile a search around a place: the cells that the circle may touch, then the distance."""
    cells = covering(test.latitude, test.longitude, test.metres)
    digests = json_array(kit.blind.cell(*cell) for cell in cells)
    candidates = Sql(
        "SELECT t.sk FROM json_each(?) j CROSS JOIN token t ON t.p=? AND t.k=j.value", (digests, field.p)
    )
    return then_opened(candidates, field, test, kit)
