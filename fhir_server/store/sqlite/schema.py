"""The tables, the steps from one schema version to the next, and how a connection is opened.

``sk`` is the stable number of a resource: (type number << 40) | sequence within the type, so that a type in
order of creation is a range of the primary key. ``rk`` is the number of a version; it grows with every write,
so ``version`` is the change log too. Every p is the number of a search parameter of a type, doubled; its low
bit marks the rows of ``date``, ``number`` and ``quantity`` that are not simple (see ``rows``).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fhir_server.faults import Fault, Kind
from fhir_server.search.joined import is_indexed
from fhir_server.search.parameters import CLINICAL_DATE
from fhir_server.search.subjects import may_be_about

SEQUENCE_BITS = 40
LIVE, DELETED = 0, 1
DAY_MS = 86_400_000
NO_DATE = -(2**62)
"""``ref.x`` of a resource without a clinical date: earlier than any."""

# A commit writes whole leaf pages: with 8 KiB pages 16 clients got half the commits (decision 0002).
PAGE_BYTES = 4096
_CACHE_KIB = 64 * 1024
_READER_CACHE_KIB = 8 * 1024
# As much as SQLite was built to map, two gigabytes: what lies beyond is read anew again and again, for the
# readers' own caches are small.
_MAP_BYTES = 1 << 40
_CHECKPOINT_PAGES = 8000
_STATEMENTS = 512

_FIRST = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE type(t INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE param(p INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE ids(h INTEGER PRIMARY KEY, sk INTEGER NOT NULL);
CREATE TABLE head(sk INTEGER PRIMARY KEY, h INTEGER NOT NULL, ver INTEGER NOT NULL, upd INTEGER NOT NULL,
    rk INTEGER NOT NULL, state INTEGER NOT NULL);
CREATE TABLE version(rk INTEGER PRIMARY KEY, sk INTEGER NOT NULL, ver INTEGER NOT NULL, upd INTEGER NOT NULL,
    method INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE TABLE history(sk INTEGER NOT NULL, ver INTEGER NOT NULL, rk INTEGER NOT NULL, upd INTEGER NOT NULL,
    PRIMARY KEY(sk, ver)) WITHOUT ROWID;
CREATE TABLE token(p INTEGER NOT NULL, k INTEGER NOT NULL, sk INTEGER NOT NULL, s INTEGER NOT NULL,
    PRIMARY KEY(p, k, sk, s)) WITHOUT ROWID;
CREATE TABLE ref(p INTEGER NOT NULL, k INTEGER NOT NULL, x INTEGER NOT NULL, sk INTEGER NOT NULL,
    PRIMARY KEY(p, k, x, sk)) WITHOUT ROWID;
CREATE TABLE str(p INTEGER NOT NULL, k BLOB NOT NULL, e INTEGER NOT NULL, sk INTEGER NOT NULL,
    PRIMARY KEY(p, k, e, sk)) WITHOUT ROWID;
CREATE TABLE date(p INTEGER NOT NULL, lo INTEGER NOT NULL, hi INTEGER NOT NULL, sk INTEGER NOT NULL,
    PRIMARY KEY(p, lo, hi, sk)) WITHOUT ROWID;
CREATE TABLE number(p INTEGER NOT NULL, lo REAL NOT NULL, hi REAL NOT NULL, sk INTEGER NOT NULL,
    PRIMARY KEY(p, lo, hi, sk)) WITHOUT ROWID;
CREATE TABLE quantity(p INTEGER NOT NULL, u INTEGER NOT NULL, lo REAL NOT NULL, hi REAL NOT NULL,
    s INTEGER NOT NULL, sk INTEGER NOT NULL, PRIMARY KEY(p, u, lo, hi, s, sk)) WITHOUT ROWID;
CREATE TABLE unit(p INTEGER NOT NULL, u INTEGER NOT NULL, PRIMARY KEY(p, u)) WITHOUT ROWID;
CREATE TABLE several(p INTEGER PRIMARY KEY);
CREATE TABLE own(sk INTEGER NOT NULL, p INTEGER NOT NULL, a NOT NULL, b NOT NULL,
    PRIMARY KEY(sk, p, a, b)) WITHOUT ROWID;
"""


def _create(connection: sqlite3.Connection) -> None:
    for statement in _FIRST.split(";"):
        if statement.strip():
            connection.execute(statement)


def _add_jobs(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE job(id TEXT PRIMARY KEY, kind TEXT NOT NULL, parameters TEXT NOT NULL,"
        " state TEXT NOT NULL, created INTEGER NOT NULL, beat INTEGER NOT NULL, progress TEXT NOT NULL,"
        " outcome TEXT NOT NULL, owner TEXT NOT NULL, cancelled INTEGER NOT NULL) WITHOUT ROWID"
    )


def _add_state(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE state(h INTEGER PRIMARY KEY, kind TEXT NOT NULL, ver INTEGER NOT NULL,"
        " expires INTEGER NOT NULL, payload BLOB NOT NULL)"
    )
    connection.execute("CREATE INDEX state_kind ON state(kind, expires)")
    connection.execute("CREATE INDEX state_expires ON state(expires)")
    connection.execute(
        "CREATE TABLE state_tag(tag INTEGER NOT NULL, h INTEGER NOT NULL, PRIMARY KEY(tag, h)) WITHOUT ROWID"
    )
    connection.execute("CREATE INDEX state_tag_of ON state_tag(h)")


def _add_composites(connection: sqlite3.Connection) -> None:
    pair = "p INTEGER NOT NULL, c INTEGER NOT NULL, k INTEGER NOT NULL, u INTEGER NOT NULL, a NOT NULL,"
    pair += " b NOT NULL, z INTEGER NOT NULL, s INTEGER NOT NULL"
    connection.execute(
        f"CREATE TABLE composite({pair}, sk INTEGER NOT NULL, n INTEGER NOT NULL,"
        " PRIMARY KEY(p, c, k, u, a, b, z, s, sk, n)) WITHOUT ROWID"
    )
    connection.execute(
        f"CREATE TABLE element(sk INTEGER NOT NULL, {pair}, n INTEGER NOT NULL,"
        " PRIMARY KEY(sk, p, c, k, u, a, b, z, s, n)) WITHOUT ROWID"
    )


def _add_undated(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE undated(sk INTEGER PRIMARY KEY)")
    params = dict(connection.execute("SELECT name, p FROM param"))
    for number, type_ in connection.execute("SELECT t, name FROM type").fetchall():
        if type_ in CLINICAL_DATE:
            p = params.get(f"{type_}.{CLINICAL_DATE[type_]}")
            connection.execute(
                "INSERT INTO undated SELECT sk FROM head h WHERE sk>=? AND sk<? AND state=?"
                " AND NOT EXISTS (SELECT 1 FROM own WHERE sk=h.sk AND p=?)",
                (number << SEQUENCE_BITS, (number + 1) << SEQUENCE_BITS, LIVE, p),
            )


def _add_policy_classes(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE policy_class(number INTEGER PRIMARY KEY, digest INTEGER NOT NULL UNIQUE,"
        " payload BLOB NOT NULL)"
    )
    connection.execute(
        "CREATE TABLE standing(k INTEGER PRIMARY KEY, ver INTEGER NOT NULL, payload BLOB NOT NULL)"
    )
    connection.execute(
        "CREATE TABLE patient_class(k INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL,"
        " number INTEGER NOT NULL, PRIMARY KEY(k, since)) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE subject(sk INTEGER NOT NULL, k INTEGER NOT NULL, PRIMARY KEY(sk, k)) WITHOUT ROWID"
    )
    # Which patient a resource is about is in its body, so that a store which is filled already must be
    # reindexed: until then the column is NULL, the small index finds that in one step, and whoever asks by
    # policy class is refused.
    connection.execute("ALTER TABLE head ADD COLUMN pat INTEGER")
    connection.execute("UPDATE head SET pat=0 WHERE state=?", (DELETED,))
    for number, type_ in connection.execute("SELECT t, name FROM type").fetchall():
        if not may_be_about(type_):
            connection.execute("UPDATE head SET pat=0 WHERE sk>=? AND sk<?", type_range(number))
    connection.execute("CREATE INDEX head_pending ON head(sk) WHERE pat IS NULL")


def _drop_joined(connection: sqlite3.Connection) -> None:
    """Drop the rows of parameters that others answer for (:mod:`fhir_server.search.joined`)."""
    numbers = [
        p
        for p, name in connection.execute("SELECT p, name FROM param").fetchall()
        if not is_indexed(*name.partition(":")[0].split(".", 1))
    ]
    twins = ", ".join(str(twin) for p in numbers for twin in (p, p | 1))
    for table in ("token", "ref", "str", "date", "number", "quantity", "composite", "own", "element"):
        connection.execute(f"DELETE FROM {table} WHERE p IN ({twins})")
    for table in ("unit", "several", "param"):
        connection.execute(f"DELETE FROM {table} WHERE p IN ({twins})")


_NUMBERED_STRINGS = """
CREATE TABLE text(p INTEGER NOT NULL, k BLOB NOT NULL, e INTEGER NOT NULL, t INTEGER NOT NULL,
    PRIMARY KEY(p, k, e)) WITHOUT ROWID;
INSERT INTO text SELECT p, k, e, row_number() OVER () FROM (SELECT DISTINCT p, k, e FROM str);
ALTER TABLE str RENAME TO str_by_key;
CREATE TABLE str(t INTEGER NOT NULL, sk INTEGER NOT NULL, PRIMARY KEY(t, sk)) WITHOUT ROWID;
INSERT INTO str SELECT x.t, s.sk FROM str_by_key s
    CROSS JOIN text x ON x.p=s.p AND x.k=s.k AND x.e=s.e ORDER BY 1, 2;
DROP TABLE str_by_key;
INSERT INTO meta SELECT 'texts', count(*) FROM text
"""


def _number_strings(connection: sqlite3.Connection) -> None:
    """Write each different string of a parameter down once, and its number in the index of strings."""
    for statement in _NUMBERED_STRINGS.split(";"):
        connection.execute(statement)


def _add_dictionaries(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE dictionary(number INTEGER PRIMARY KEY, payload BLOB NOT NULL)")


_HALF = """
CREATE TABLE fresh(p INTEGER NOT NULL, k INTEGER NOT NULL, sk INTEGER NOT NULL, s INTEGER NOT NULL,
    PRIMARY KEY(p, k, sk, s)) WITHOUT ROWID;
INSERT INTO fresh SELECT p, k, sk, s>>32 FROM token ORDER BY 1, 2, 3;
DROP TABLE token;
ALTER TABLE fresh RENAME TO token;
CREATE TABLE fresh(p INTEGER NOT NULL, u INTEGER NOT NULL, lo REAL NOT NULL, hi REAL NOT NULL,
    s INTEGER NOT NULL, sk INTEGER NOT NULL, PRIMARY KEY(p, u, lo, hi, s, sk)) WITHOUT ROWID;
INSERT INTO fresh SELECT p, u>>32, lo, hi, s>>32, sk FROM quantity ORDER BY 1, 2, 3, 4, 5, 6;
DROP TABLE quantity;
ALTER TABLE fresh RENAME TO quantity;
UPDATE unit SET u=u>>32;
UPDATE composite SET u=u>>32, z=z>>32, s=s>>32;
UPDATE element SET u=u>>32, z=z>>32, s=s>>32
"""


def _halve_systems(connection: sqlite3.Connection) -> None:
    """Keep half the digests of systems and units: they are few, and stand in every row."""
    for statement in _HALF.split(";"):
        connection.execute(statement)


def _drop_moments(connection: sqlite3.Connection) -> None:
    """Drop from ``own`` what the head of a resource says too: when it was last updated."""
    connection.execute(
        "DELETE FROM own WHERE a=b AND p IN (SELECT p FROM param WHERE substr(name, -13)='._lastUpdated')"
        " AND EXISTS (SELECT 1 FROM head h CROSS JOIN date d ON d.p=own.p AND d.lo=h.upd AND d.hi=h.upd"
        " AND d.sk=h.sk WHERE h.sk=own.sk AND h.upd=own.a)"
    )


def _add_class_used(connection: sqlite3.Connection) -> None:
    """Make it cheap to tell whether anybody is in a policy class, or will be."""
    connection.execute("CREATE INDEX class_used ON patient_class(number, until)")


def _renew_subjects(connection: sqlite3.Connection) -> None:
    """Mark what had no patients before that its own elements name: ``reindex`` finds out which."""
    types = ("Contract", "GuidanceResponse", "Linkage", "MessageHeader", "PaymentNotice", "Provenance")
    _forget_patients(connection, *types, "Task", "VerificationResult")


def _renew_bundles(connection: sqlite3.Connection) -> None:
    """Mark the Bundles, which are about those whom their entries are about."""
    _forget_patients(connection, "Bundle")


def _forget_patients(connection: sqlite3.Connection, *types: str) -> None:
    for name in types:
        for (number,) in connection.execute("SELECT t FROM type WHERE name=?", (name,)).fetchall():
            statement = "UPDATE head SET pat=NULL WHERE sk>=? AND sk<? AND state=?"
            connection.execute(statement, (*type_range(number), LIVE))


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _create,
    _add_jobs,
    _add_state,
    _add_composites,
    _add_undated,
    _add_policy_classes,
    _drop_joined,
    _number_strings,
    _add_dictionaries,
    _halve_systems,
    _drop_moments,
    _add_class_used,
    _renew_subjects,
    _renew_bundles,
)
"""Step n leads from schema version n to n + 1. Steps are never edited once released; new ones follow."""

VERSION = len(MIGRATIONS)


class Connection(sqlite3.Connection):
    """A connection that carries along what answers its functions (:mod:`functions`).

    Python 3.11 keeps a prepared statement "in use" for ever once fetching its rows has failed, as when a
    slow search is stopped: from then on it would be prepared anew each time, which takes longer than most
    searches do.
    """

    judge: Any = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._last = ""
        self._renewed: dict[str, str] = {}
        self._failures = 0

    def execute(self, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run a statement, by another name if one of this text has failed."""
        self._last = statement
        return super().execute(self._renewed.get(statement, statement), parameters)

    def renew(self) -> None:
        """Give the statement that was run last, and that failed, a name that the cache does not know."""
        self._failures += 1
        if len(self._renewed) >= _STATEMENTS:
            self._renewed.clear()
        self._renewed[self._last] = f"{self._last} -- {self._failures}"


def connect(path: Path, *, writing: bool = False, busy_seconds: float = 5.0) -> Connection:
    """Open the database file with the settings that the measurements chose; autocommit, any thread."""
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
        timeout=busy_seconds,
        factory=Connection,
    )
    # The page size holds for a new file only, and must come before WAL.
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB if writing else _READER_CACHE_KIB}")
    connection.execute(f"PRAGMA mmap_size={_MAP_BYTES}")
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES if writing else 0}")
    connection.execute("PRAGMA temp_store=MEMORY")
    if not writing:
        connection.execute("PRAGMA query_only=1")
    return connection


def make_private(path: Path) -> None:
    """Create an empty database file that only its owner may read; what stands there already is left alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the open transaction's database to :data:`VERSION`; return the version that it had.

    A file from a newer program is refused: an older one would not keep its index whole.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise Fault(
            Kind.UNAVAILABLE,
            f"The store has schema version {version}, this program knows {VERSION}: use the newer program.",
        )
    for step in MIGRATIONS[version:]:
        step(connection)
    if version < VERSION:
        connection.execute(f"PRAGMA user_version={VERSION}")
    return version


def generation(connection: sqlite3.Connection) -> int:
    """Return the number of the current set of search parameters, as this transaction sees it."""
    row = connection.execute("SELECT value FROM meta WHERE key='generation'").fetchone()
    return 0 if row is None else int(row[0])


def type_range(number: int) -> tuple[int, int]:
    """Return the first ``sk`` of a type and the one after its last."""
    return number << SEQUENCE_BITS, (number + 1) << SEQUENCE_BITS
