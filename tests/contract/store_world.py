"""Resources made for the stores' tests: their searchable values stand in their bodies as plain data.

What a store is given here has nothing to do with FHIR's elements, so that its contract is tested by itself.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from fhir_server.crypto.keys import KeyRing
from fhir_server.search.match import ClassOf, Referrers, Resolve, matches
from fhir_server.search.predicate import Predicate
from fhir_server.search.values import Values
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Change, Method
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.mongo.store import Options as MongoOptions
from fhir_server.store.mongo.tools import Extractor
from fhir_server.store.sqlite.store import Options, SqliteStore
from fhir_server.store.whole import WholeStore
from tests.mongo import engine

ALL = Visibility.everything("test")

STORES = ("sqlite-standard", "sqlite-guomi", "mongodb-standard")
"""Engines with cipher suites: what :func:`open_store` takes."""

ENGINES = ("sqlite-standard", "mongodb-standard")
"""Each engine once."""

ENGINES = ("sqlite-standard", "mongodb-standard")
"""The same with the suite that does not matter."""


class _Dated(dict[str, str]):
    """Every type has a clinical date, the parameter ``date``."""

    def get(self, key: str, default: Any = None) -> Any:
        return "date" if key else default


CLINICAL = _Dated()
KINDS = (
    "tokens",
    "strings",
    "dates",
    "numbers",
    "quantities",
    "references",
    "uris",
    "positions",
    "words",
)


def values_of(raw: dict[str, Any]) -> Values:
    """Build Values from ``{"tokens": [[param, system, code], …], …, "clinical": ms}``."""
    values = Values()
    for kind in KINDS:
        getattr(values, kind).extend(tuple(row) for row in raw.get(kind, ()))
    for param, components in raw.get("composites", ()):
        values.composites.append((param, tuple(tuple(tuple(row) for row in rows) for rows in components)))
    for type_, id_, inner in raw.get("contained", ()):
        values.contain(type_, id_, values_of(inner))
    values.clinical = raw.get("clinical")
    values.patients = tuple(raw.get("patients", ()))
    return values


def extractor(type_: str, body: bytes) -> Values:
    """Read the values that :func:`change` wrote."""
    tree = json.loads(body)
    assert tree["resourceType"] == type_
    return values_of(tree.get("values", {}))


def matcher(
    predicate: Predicate,
    type_: str,
    body: bytes,
    resolve: Resolve,
    referrers: Referrers,
    class_of: ClassOf,
) -> bool:
    """Match one body, among what it is linked to."""
    id_ = json.loads(body)["id"]
    return matches(predicate, type_, id_, extractor(type_, body), resolve, referrers, class_of)


def change(
    type_: str,
    id_: str,
    version: int = 1,
    method: Method = "PUT",
    *,
    updated: int | None = None,
    text: str = "",
    **raw: Any,
) -> Change:
    """Make a change whose body holds ``text`` and the values ``raw``."""
    updated = 1_000 * version if updated is None else updated
    if method == "DELETE":
        return Change(type_, id_, version, updated, method, b"", None)
    meta = {"versionId": str(version)}
    tree = {"resourceType": type_, "id": id_, "meta": meta, "text": text, "values": raw}
    body = json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()
    return Change(type_, id_, version, updated, method, body, values_of(raw))


async def put(store: Any, *changes: Change) -> None:
    """Commit changes together."""
    await store.commit([store.prepare(each) for each in changes])


async def open_store(kind: str, folder: Path, **options: Any) -> WholeStore:
    """Open a store of one of :data:`STORES` for ``folder``, making it and its keys when there are none."""
    name, _, suite = kind.partition("-")
    if name == "sqlite":
        return open_sqlite(folder, suite, **options)
    return await open_mongo(folder, suite, **options)


@asynccontextmanager
async def a_store(kind: str, folder: Path, **options: Any) -> AsyncIterator[Any]:
    """Give a store for ``folder``, close it, and see that it was left sound; nothing of it stays."""
    store: Any = await open_store(kind, folder, **options)
    try:
        yield store
        findings = await store.check() if await store.ready() else []
        assert findings == []
    finally:
        await store.close()
        drop_store(kind, folder)


def drop_store(kind: str, folder: Path, *, large: bool = False) -> None:
    """Remove what lies elsewhere than in the folder of a store.

    ``large``: it takes the stand-in long, whose own folder goes in any case when the tests end.
    """
    if kind.startswith("mongodb") and not (large and engine.is_stand_in()):
        engine.drop(database_of(folder))


def is_asked(store: Any, seed: int, one_of: int = 6) -> bool:
    """Tell whether a store is asked about a random world: MongoDB about one of six, which takes as long."""
    return isinstance(store, SqliteStore) or seed % one_of == 0


def database_of(folder: Path) -> str:
    """Return the name of the database of the MongoDB store for ``folder``."""
    return f"t{blake2b(str(folder).encode(), digest_size=10).hexdigest()}"


def open_sqlite(
    folder: Path, suite: str = "standard", *, extractor: Extractor = extractor, **options: Any
) -> SqliteStore:
    """Open the SQLite store in ``folder``, making it and its keys when there are none."""
    return SqliteStore.open(
        folder / "data",
        _ring(folder, suite),
        extractor=extractor,
        matcher=matcher,
        clinical=CLINICAL,
        options=Options(**{"threads": 2, **options}),
    )


async def open_mongo(
    folder: Path, suite: str = "standard", *, extractor: Extractor = extractor, **options: Any
) -> MongoStore:
    """Open the MongoDB store for ``folder``, where its keys are, making both when there are none."""
    return await MongoStore.open(
        engine.address(database_of(folder)),
        _ring(folder, suite),
        extractor=extractor,
        matcher=matcher,
        clinical=CLINICAL,
        options=MongoOptions(**options),
    )


def _ring(folder: Path, suite: str) -> KeyRing:
    keys = folder / "keys"
    return KeyRing.load(keys) if keys.exists() else KeyRing.create(keys, suite)
