"""Does the log say what was written? Finds entries changed, removed or reordered, cut tails, lost segments.

Three witnesses are heard: the chain itself, the signed statements of closed segments, and what is remembered
of it: by the index, and of the newest segments by the key folder (in a database, by a collection beside the
log). A fourth one, the server's log lines as somebody else keeps them, is heard when it is named. What none
of them can tell is said in ``docs/audit.md``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from fhir_server.audit.chain import BEGINNING, Broken, Torn
from fhir_server.audit.entry import Undecodable
from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.prune import pruned_through
from fhir_server.audit.segment import BadSegment, Reading, Statement, is_signed, read_statement
from fhir_server.audit.shelf import Position, Segment, Shelf

_MOMENT_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and where: a segment (``p00/00000001``) or a chain, and the number of the entry."""

    place: str
    entry: int | None
    words: str

    def __str__(self) -> str:
        where = self.place if self.entry is None else f"{self.place}, entry {self.entry}"
        return f"{where}: {self.words}"


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and what was found; no findings = the log is as it was written."""

    findings: tuple[Finding, ...]
    segments: int
    entries: int


@dataclass(slots=True)
class _Followed:
    """How far a segment could be followed, and whether what the index remembers of it is there."""

    is_witnessed: bool
    is_whole: bool = True
    entries: int = 0
    findings: list[Finding] = field(default_factory=list)


def verify(shelf: Shelf, keys: AuditKeys, heard: Mapping[Segment, set[str]] | None = None) -> Report:
    """Verify every chain on a shelf, while processes write to it or not.

    ``heard``: final hashes of closed segments that were heard elsewhere (:mod:`witness`).
    """
    findings: list[Finding] = []
    counted = entries = 0
    finals = {segment: set(hashes) for segment, hashes in (heard or {}).items()}
    for chain, (number, final) in shelf.heads().items():
        finals.setdefault(Segment(chain, number), set()).add(final)
    positions = shelf.positions()
    chains = shelf.chains()
    lost = sorted({*(segment.chain for segment in finals), *positions} - set(chains))
    findings += [Finding(name, None, "the whole chain is missing, but it is remembered.") for name in lost]
    for name in chains:
        checker = _Checker(shelf, name, keys, positions.get(name))
        findings += checker.check(finals)
        counted += checker.segments
        entries += checker.entries
    return Report(tuple(findings), counted, entries)


class _Checker:
    """Verifies one chain from its first segment to its last."""

    def __init__(self, shelf: Shelf, chain: str, keys: AuditKeys, position: Position | None) -> None:
        self._shelf = shelf
        self._chain = chain
        self._keys = keys
        self._position = position
        self.segments = 0
        self.entries = 0

    def check(self, finals: Mapping[Segment, set[str]]) -> Iterator[Finding]:
        """Yield what is wrong; ``finals``: the final hashes that are remembered of any segments."""
        known = self._shelf.segments(self._chain)
        numbers = [segment.number for segment in known]
        newest = max(numbers, default=0)
        told = [segment.number for segment in finals if segment.chain == self._chain]
        remembered = max(*told, self._position.segment if self._position else 0, 0)
        for before, after in pairwise((0, *numbers)):
            for number in range(before + 1, after):
                yield self._missing(number)
        for number in range(newest + 1, remembered + 1):
            yield self._missing(number)
        gone = pruned_through(self._shelf, self._chain, self._keys)
        previous: str | None = BEGINNING.hex()
        for segment in known:
            findings, previous = self._segment(segment, previous, newest, gone)
            yield from findings
            if previous is not None and finals.get(segment, set()) - {previous}:
                words = "it is not the segment that was remembered when it was closed."
                yield Finding(segment.name, None, words)

    def _missing(self, number: int) -> Finding:
        return Finding(Segment(self._chain, number).name, None, "the segment is missing.")

    def _segment(
        self, segment: Segment, previous: str | None, newest: int, gone: int
    ) -> tuple[list[Finding], str | None]:
        """Verify one segment; return what is wrong with it, and its final hash, None when unknown."""

        def found(words: str, entry: int | None = None) -> list[Finding]:
            return [Finding(segment.name, entry, words)]

        try:
            statement = read_statement(self._shelf.statement(segment))
        except BadSegment:
            return found("its statement cannot be read."), None
        findings: list[Finding] = []
        if statement is not None:
            findings += self._statement(segment, statement, previous)
            if self._shelf.header(segment) is None:
                if segment.number > gone:
                    findings += found("its entries are missing; they were not pruned by command.")
                return findings, statement.hash
        elif segment.number != newest:
            findings += found("it has no signed statement, though a later segment follows.")
        self.segments += 1
        more, final = self._entries(segment, statement, previous)
        return findings + more, final if statement is None else statement.hash

    def _statement(self, segment: Segment, statement: Statement, previous: str | None) -> list[Finding]:
        words = []
        if not is_signed(self._keys, statement):
            words.append("its statement is not signed by this audit's key, or was changed.")
        if (statement.chain, statement.number) != segment:
            words.append(
                f"its statement is that of {statement.chain}/{statement.number:08d}: it was swapped."
            )
        if previous is not None and statement.previous != previous:
            words.append("it does not follow the segment before it.")
        if statement.dropped and (torn := self._shelf.torn(segment)):
            words.append(
                f"a crash left {statement.dropped} unreadable bytes; look at {torn}, "
                "and move it away once you know why."
            )
        return [Finding(segment.name, None, each) for each in words]

    def _entries(
        self, segment: Segment, statement: Statement | None, previous: str | None
    ) -> tuple[list[Finding], str | None]:
        """Follow the chain through a segment; compare its end with what is remembered of it."""
        try:
            reading = Reading.begin(self._keys, self._shelf.content(segment) or b"")
        except BadSegment:
            return [Finding(segment.name, None, "its header cannot be read.")], None
        header, words = reading.header, []
        if (header.chain, header.number) != segment:
            words.append(f"its header is that of {header.chain}/{header.number:08d}: it was swapped.")
        if statement is None and previous is not None and header.previous != previous:
            words.append("it does not follow the segment before it.")
        findings = [Finding(segment.name, None, each) for each in words]
        marked = self._position if self._position and self._position.segment == segment.number else None
        followed = self._follow(segment, reading, marked, is_closed=statement is not None)
        if not followed.is_whole and statement is None and not self._shelf.is_free(self._chain):
            # A process writes to it: an entry may have been half there. It is whole after a moment, or never.
            time.sleep(_MOMENT_SECONDS)
            reading = Reading.begin(self._keys, self._shelf.content(segment) or b"")
            followed = self._follow(segment, reading, marked, is_closed=False)
        self.entries += followed.entries
        findings += followed.findings
        if not followed.is_whole:
            return findings, None
        if statement is not None:
            findings += _unlike(segment, reading, statement)
        if marked is not None and not followed.is_witnessed:
            words_ = "the index remembers other entries, or more of them, than there are."
            findings.append(Finding(segment.name, marked.count, words_))
        return findings, reading.chain.last.hex()

    def _follow(
        self, segment: Segment, reading: Reading, marked: Position | None, *, is_closed: bool
    ) -> _Followed:
        """Read to the end, or to where the chain breaks; ``marked``: what the index remembers."""
        found = _Followed(is_witnessed=marked is None or marked.count == 0)
        try:
            for number, _ in reading.entries():
                found.entries += 1
                if marked is not None and number + 1 == marked.count:
                    found.is_witnessed = reading.chain.last.hex() == marked.hash
        except Torn as torn:
            # A process that is writing at this moment leaves an entry that is not all there yet.
            if is_closed or self._shelf.is_free(self._chain):
                words = "the file ends within it: its tail was cut."
                found.findings.append(Finding(segment.name, torn.number, words))
        except Broken as broken:
            found.is_whole = False
            words = "it was changed, or an entry at or before it was removed, added or moved."
            found.findings.append(Finding(segment.name, broken.number, words))
        except Undecodable:
            found.is_whole = False
            words = "it is sealed but is no entry."
            found.findings.append(Finding(segment.name, reading.chain.count - 1, words))
        return found


def _unlike(segment: Segment, reading: Reading, statement: Statement) -> list[Finding]:
    """Compare the end of a segment with its statement."""
    there = reading.chain.count
    if there != statement.count:
        words = (
            f"its statement tells of {statement.count} entries, it has {there}: its tail was cut or added to."
        )
        return [Finding(segment.name, min(there, statement.count), words)]
    if len(reading.data) != statement.size:
        return [Finding(segment.name, None, "bytes were added to its end.")]
    if reading.chain.last.hex() != statement.hash:
        return [Finding(segment.name, None, "its entries are not those of its statement.")]
    return []
