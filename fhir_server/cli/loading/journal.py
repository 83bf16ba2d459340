"""What has been loaded already, so that an interrupted load goes on where it stopped.

The file in the data folder holds digests and position numbers: no file name, nothing of a patient.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAME = "load.journal"


class Ranges:
    """A set of whole numbers kept as spans: small however many there are, as long as they lie together."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, first: int, last: int) -> None:
        """Add ``first`` to ``last``, both included."""
        left = bisect_right(self._ends, first - 2)
        right = bisect_right(self._starts, last + 1)
        if left < right:
            first = min(first, self._starts[left])
            last = max(last, self._ends[right - 1])
        self._starts[left:right] = [first]
        self._ends[left:right] = [last]

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number <= self._ends[at]

    def __len__(self) -> int:
        return sum(end - start + 1 for start, end in zip(self._starts, self._ends, strict=True))


class Journal:
    """Which positions of which source are loaded; use it as a context manager.

    A line is on the disk before :meth:`record` returns. A crash between a commit and its line loads that one
    request again: an update changes nothing then, a create without a condition makes a second record.
    """

    def __init__(self, folder: Path, *, again: bool = False) -> None:
        self._path = folder / NAME
        self._done: defaultdict[str, Ranges] = defaultdict(Ranges)
        self._whole: set[str] = set()
        if again:
            self._path.unlink(missing_ok=True)
        elif self._path.exists():
            self._read()
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(handle, "ab", buffering=0)
        # A line cut off by a crash must not swallow the next one.
        self._file.write(b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def done(self, source: str) -> Ranges:
        """Return the positions of ``source`` that are loaded."""
        return self._done[source]

    def is_whole(self, source: str) -> bool:
        """Tell whether all of ``source`` is loaded."""
        return source in self._whole

    def record(self, source: str, first: int, last: int) -> None:
        """Note that positions ``first`` to ``last`` of ``source`` are loaded."""
        self._done[source].add(first, last)
        self._append({"source": source, "first": first, "last": last})

    def record_whole(self, source: str) -> None:
        """Note that nothing of ``source`` is left to load."""
        self._whole.add(source)
        self._append({"source": source})

    def _append(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        os.fsync(self._file.fileno())

    def _read(self) -> None:
        for text in self._path.read_bytes().splitlines():
            try:
                line = json.loads(text)
                if "first" in line:
                    self._done[line["source"]].add(line["first"], line["last"])
                else:
                    self._whole.add(line["source"])
            except (ValueError, KeyError, TypeError):
                # A line that a crash cut short: what it told of is loaded again.
                continue
