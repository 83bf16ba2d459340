"""Files, folders and standard input as what a format splits."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mappings.engine.format import MapFormat
from mappings.engine.model import Issue, Refused


@dataclass(frozen=True, slots=True)
class Input:
    """One file, or standard input (``path`` is None). ``name`` is what reports call it."""

    path: Path | None
    name: str

    @property
    def size(self) -> int | None:
        """The file's size in bytes; None when it is not known."""
        return self.path.stat().st_size if self.path is not None else None

    @property
    def where(self) -> dict[str, str]:
        """The option that names the file to its format; standard input has no name that tells."""
        return {"where": self.name} if self.path is not None else {}

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open it for reading."""
        if self.path is None:
            yield sys.stdin.buffer
            return
        try:
            stream = self.path.open("rb")
        except OSError as error:
            sentence = f"The file cannot be opened: {error.strerror or 'not readable'}."
            raise Refused(Issue("fatal", "not-found", self.name, sentence)) from error
        with stream:
            yield stream


def inputs(words: Sequence[str], format_: MapFormat | None = None) -> list[Input]:
    """Return what the words name: files, the files of folders in loading order, ``-`` for standard input."""
    found: list[Input] = []
    for word in words:
        path = Path(word)
        if word == "-":
            found.append(Input(None, "-"))
        elif path.is_dir():
            files = [file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")]
            ordered = format_.ordered(files) if format_ is not None else sorted(files)
            found += [Input(file, str(file.relative_to(path))) for file in ordered]
        else:
            found.append(Input(path, path.name))
    return found
