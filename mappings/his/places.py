"""Where the bytes of an extract are: a file, bytes in memory, a stream that can be read once."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, Protocol, cast

from mappings.his.rows import refused


class Place(Protocol):
    """Bytes with a name; the name's ending says what they are (.csv.gz)."""

    @property
    def name(self) -> str:
        """The file's name."""

    def open(self) -> BinaryIO:
        """Open the bytes at their beginning. Raises Refused when they cannot be read."""

    def head(self, size: int) -> bytes:
        """Return up to ``size`` bytes from the beginning; they are still there for ``open``."""


@dataclass(frozen=True, slots=True)
class File:
    """A file."""

    path: Path

    @property
    def name(self) -> str:
        """Return the file's name without its folders."""
        return self.path.name

    def open(self) -> BinaryIO:
        """Open the file."""
        try:
            return self.path.open("rb")
        except OSError as error:
            raise refused(
                self.name, f"The file cannot be opened: {error.strerror or 'not readable'}."
            ) from error

    def head(self, size: int) -> bytes:
        """Return the first bytes."""
        with self.open() as stream:
            return stream.read(size)


class _Kept(io.RawIOBase):
    """A stream's bytes from where ``open`` began, which stay open when the reader is done with them."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stream.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # typeshed's Buffer
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@dataclass(slots=True)
class Stream:
    """An open stream; one that cannot go back (standard input) is read once, its first bytes kept for it."""

    stream: IO[bytes]
    name: str = "-"
    _head: bytes = b""
    _is_used: bool = field(default=False)

    def open(self) -> BinaryIO:
        """Give the stream from its beginning; a second time only when it can go back."""
        if self.stream.seekable():
            self.stream.seek(0)
            return cast("BinaryIO", io.BufferedReader(_Kept(self.stream)))
        if self._is_used:
            raise refused(
                self.name, "This stream can be read once only; save it to a file first.", "not-supported"
            )
        self._is_used = True
        return cast("BinaryIO", io.BufferedReader(_Headed(self._head, self.stream)))

    def head(self, size: int) -> bytes:
        """Return the first bytes."""
        if self.stream.seekable():
            self.stream.seek(0)
            return self.stream.read(size)
        while len(self._head) < size and (data := self.stream.read(size - len(self._head))):
            self._head += data
        return self._head[:size]


class _Headed(io.RawIOBase):
    """First the bytes that were read ahead, then the rest of a stream."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # typeshed's Buffer
        data = self._head[: len(buffer)]
        self._head = self._head[len(data) :]
        data = data or self._rest.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
