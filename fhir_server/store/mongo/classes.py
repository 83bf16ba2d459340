"""Policy classes in MongoDB: rules by number, and of each patient its standing and its times in classes.

``class``: _id is the number, ``digest`` the rule's, ``p`` the sealed rule. ``standing``: _id is the digest
that references to the patient have, ``v`` the version, ``p`` what is sealed, ``z`` [{a, b, n}] from when
until before when it is in which class, ``numbers`` the classes among them. What lies open: which digests are
in the same class when, and nothing of what the class means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bson.int64 import Int64
from pymongo import InsertOne, ReplaceOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from fhir_server.store.api import Reclass, Stale
from fhir_server.store.mongo.client import Document, unavailable
from fhir_server.store.mongo.schema import CLASS, STANDING
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.policies import Span, Standing
from fhir_server.store.sealed import (
    Stands,
    check_reclasses,
    known_rule,
    open_rule,
    open_standing,
    patient_digest,
    same_patient,
    seal_rule,
    seal_standing,
)

_TIMES: Final = {"z": 1}


def class_document(tools: Tools, number: int, rule: bytes) -> Document:
    """Return the document of a class."""
    payload = seal_rule(tools.envelope, number, rule)
    return {"_id": number, "digest": Int64(tools.blind.rule(rule)), "p": payload}


def standing_document(tools: Tools, standing: Standing) -> Document:
    """Return the document of how a patient stands."""
    k = Int64(patient_digest(tools.blind, standing.patient))
    payload = seal_standing(tools.envelope, k, standing.version, Stands(standing.patient, standing.note))
    times = [{"a": Int64(span.start), "b": Int64(span.end), "n": span.number} for span in standing.spans]
    numbers = sorted({span.number for span in standing.spans})
    return {"_id": k, "v": standing.version, "p": payload, "z": times, "numbers": numbers}


def class_at(times: Iterable[Mapping[str, int]], now: int) -> int:
    """Return the class of the time of a standing that ``now`` (ms) lies in; 0 for none."""
    return next((each["n"] for each in times if each["a"] <= now < each["b"]), 0)


class MongoPolicies:
    """Implements :class:`fhir_server.store.policies.Policies`; each method is one round trip."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._standings = tools.engine.db.get_collection(STANDING)
        self._classes = tools.engine.db.get_collection(CLASS)

    async def standing(self, patients: Iterable[str]) -> list[Standing]:
        """Return how each of ``patients`` stands, in that order."""
        wanted = {patient: patient_digest(self._tools.blind, patient) for patient in patients}
        found = await self._found(wanted.values(), None)
        return [self._standing(patient, found.get(digest)) for patient, digest in wanted.items()]

    async def classes(self, patients: Iterable[str]) -> dict[str, int]:
        """Return the class that each of ``patients`` is in now."""
        wanted = {patient: patient_digest(self._tools.blind, patient) for patient in patients}
        found, now = await self._found(wanted.values(), _TIMES), self._tools.clock()
        none: Document = {"z": ()}
        return {patient: class_at(found.get(digest, none)["z"], now) for patient, digest in wanted.items()}

    async def rules(self, after: int = 0) -> list[tuple[int, bytes]]:
        """Return the numbers and rules of the classes with greater numbers than ``after``, in order."""
        rows = await self._all(self._classes.find({"_id": {"$gt": after}}).sort("_id"))
        return [(row["_id"], open_rule(self._tools.envelope, row["_id"], row["p"])) for row in rows]

    async def used(self) -> frozenset[int]:
        """Return the numbers of the classes that some patient is in now or will be in later."""
        still = {"$gt": ["$$this.b", self._tools.clock()]}
        of_class = {"$eq": ["$$this.n", "$$number"]}
        times = {"$map": {"input": "$z", "in": {"$and": [of_class, still]}}}
        one = [{"$match": {"$expr": {"$in": [True, times]}}}, {"$limit": 1}, {"$project": {"_id": 1}}]
        lookup = {"localField": "_id", "foreignField": "numbers", "let": {"number": "$_id"}, "pipeline": one}
        pipeline: list[Document] = [
            {"$project": {"_id": 1}},
            {"$lookup": {"from": STANDING, **lookup, "as": "one"}},
            {"$match": {"one.0": {"$exists": True}}},
            {"$project": {"_id": 1}},
        ]
        try:
            cursor = await self._classes.aggregate(pipeline)
            return frozenset(row["_id"] for row in await cursor.to_list())
        except PyMongoError as error:
            raise unavailable(error) from error

    async def _found(self, digests: Iterable[int], fields: Document | None) -> dict[int, Document]:
        wanted = {"_id": {"$in": [Int64(digest) for digest in digests]}}
        return {row["_id"]: row for row in await self._all(self._standings.find(wanted, fields))}

    async def _all(self, cursor: Any) -> list[Document]:
        try:
            found: list[Document] = await cursor.to_list()
        except PyMongoError as error:
            raise unavailable(error) from error
        return found

    def _standing(self, patient: str, row: Document | None) -> Standing:
        if row is None:
            return Standing(patient)
        content = open_standing(self._tools.envelope, row["_id"], row["v"], row["p"])
        if content.patient != patient:
            return Standing(patient)
        spans = tuple(Span(int(each["a"]), int(each["b"]), each["n"]) for each in row["z"])
        return Standing(patient, row["v"], spans, content.note)


class Classing:
    """Reclasses patients inside an open transaction: :meth:`check` first, then :meth:`write`."""

    def __init__(self, tools: Tools, session: AsyncClientSession) -> None:
        self._tools = tools
        self._session = session
        self._standings = tools.engine.db.get_collection(STANDING)
        self._classes = tools.engine.db.get_collection(CLASS)
        self._numbers: dict[bytes, int] = {}
        self._new: list[bytes] = []

    async def check(self, reclasses: Sequence[Reclass]) -> None:
        """Raise Stale when a patient was reclassed since; ValueError for slices that are none.

        Two round trips: standings and rules.
        """
        check_reclasses(reclasses)
        if not reclasses:
            return
        digests = {each.patient: Int64(patient_digest(self._tools.blind, each.patient)) for each in reclasses}
        cursor = self._standings.find(
            {"_id": {"$in": list(digests.values())}}, {"v": 1, "p": 1}, session=self._session
        )
        known = {row["_id"]: row for row in await cursor.to_list()}
        for each in reclasses:
            row = known.get(digests[each.patient])
            if (0 if row is None else row["v"]) != each.seen:
                raise Stale
            if row is not None:
                content = open_standing(self._tools.envelope, row["_id"], row["v"], row["p"])
                same_patient(content, each.patient)
        await self._know({part.rule for each in reclasses for part in each.slices})

    async def write(self, reclasses: Sequence[Reclass]) -> int:
        """Write what :meth:`check` has passed; return the greatest number of a class that is new, or 0.

        One round trip, and two more for rules that are new. Whoever numbers a rule at the same time makes
        this transaction fail, and it is tried again.
        """
        greatest = await self._number_new()
        writes = [self._replacing(each) for each in reclasses]
        if writes:
            await self._standings.bulk_write(writes, session=self._session)
        return greatest

    def _replacing(self, each: Reclass) -> ReplaceOne[Document]:
        spans = tuple(Span(part.start, part.end, self._numbers[part.rule]) for part in each.slices)
        fresh = standing_document(self._tools, Standing(each.patient, each.seen + 1, spans, each.note))
        return ReplaceOne({"_id": fresh["_id"]}, fresh, upsert=True)

    async def _know(self, rules: set[bytes]) -> None:
        """Look up the numbers of rules; note which are new."""
        if not rules:
            return
        by_digest = {Int64(self._tools.blind.rule(rule)): rule for rule in sorted(rules)}
        cursor = self._classes.find({"digest": {"$in": list(by_digest)}}, session=self._session)
        for row in await cursor.to_list():
            rule = by_digest[row["digest"]]
            self._numbers[rule] = known_rule(self._tools.envelope, row["_id"], row["p"], rule)
        self._new = sorted(rules - self._numbers.keys())

    async def _number_new(self) -> int:
        if not self._new:
            return 0
        last = await self._classes.find_one({}, {"_id": 1}, sort=[("_id", -1)], session=self._session)
        number = last["_id"] if last else 0
        rows = []
        for rule in self._new:
            number += 1
            self._numbers[rule] = number
            rows.append(class_document(self._tools, number, rule))
        await self._classes.bulk_write([InsertOne(row) for row in rows], session=self._session)
        self._new = []
        return int(number)
