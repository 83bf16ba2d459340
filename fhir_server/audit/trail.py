"""What a request touches in the store: noted where it leaves the store, so that no interaction can forget it.

The trail of the interaction under way is found by the task that runs it, as a database's transaction is: the
entries of a batch run side by side, each in its own task, and each has its own trail.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Change, Condition, Prepared, Reclass, Stored
from fhir_server.store.forward import Passing


@dataclass(slots=True)
class Trail:
    """What was read (each version, in order, with repetitions) and what was written."""

    seen: list[Stored] = field(default_factory=list)
    written: list[Change] = field(default_factory=list)


_trail: ContextVar[Trail | None] = ContextVar("trail", default=None)


def begin(trail: Trail | None) -> Trail | None:
    """Note what this task touches from now on in ``trail``; return the one that was in use."""
    before = _trail.get()
    _trail.set(trail)
    return before


@contextmanager
def unnoted() -> Iterator[None]:
    """Note nothing within the block: for what the server looks up itself to decide, and tells nobody."""
    before = begin(None)
    try:
        yield
    finally:
        begin(before)


class Noted(Passing):
    """A store that notes what it gives and what it takes; :meth:`scan` apart, which no answer quotes from."""

    def passed(self, found: list[Stored]) -> list[Stored]:
        """Note what is told."""
        trail = _trail.get()
        if trail is not None:
            trail.seen += found
        return found

    async def commit(
        self,
        prepared: Sequence[Prepared],
        conditions: Sequence[Condition] = (),
        reclasses: Sequence[Reclass] = (),
    ) -> None:
        """Write all or nothing, and note what was written."""
        await self.store.commit(prepared, conditions, reclasses)
        trail = _trail.get()
        if trail is not None:
            trail.written += [each.change for each in prepared]

    def scan(self, visibility: Visibility, type_: str | None = None) -> AsyncIterator[Stored]:
        """Yield every current visible resource, without noting it: who scans tells of no single one."""
        return self.store.scan(visibility, type_)
