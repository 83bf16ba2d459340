"""Which encoding an extract is in, and text from bytes that follow it, or mix it, or went through it twice.

Hospital extracts come as GB18030 (Excel, most tools), UTF-8 with and without mark, and UTF-16 (Excel's
"Unicode text"). Oracle databases with character set US7ASCII hold GBK bytes: passed on unchanged they are
GB18030; fetched by a client that believes the database they arrive as one Latin letter per byte ("ÄÐ" is 男),
and the file has those as UTF-8. That is undone here; letters that a client replaced by "?" cannot be.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

GB18030 = "gb18030"
UTF_8 = "utf-8"

MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LATIN = re.compile("[\u0080-\u00ff]")
_CP1252 = {
    ord(letter): 0x80 + at for at, letter in enumerate("€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ")
}
"""Clients that took the bytes for Windows-1252 turned 0x80-0x9F into these letters."""
_HAN = re.compile("[\u4e00-\u9fff\u3400-\u4dbf\u3000-\u303f\uff00-\uffef]")


@dataclass(frozen=True, slots=True)
class Encoding:
    """The codec of the bytes, the length of their mark, whether the text is GBK letter by letter."""

    codec: str
    mark: int = 0
    is_twice: bool = False

    @property
    def is_wide(self) -> bool:
        """Whether a letter takes two bytes or more, none of which can be split at without decoding."""
        return self.codec.startswith("utf-16")

    @property
    def name(self) -> str:
        """Return the name to show: the codec, "-sig" for a mark, "+gb18030" for text encoded twice."""
        mark = "-sig" if self.mark and self.codec == UTF_8 else ""
        return f"{self.codec}{mark}" + ("+gb18030" if self.is_twice else "")


def named(name: str) -> Encoding:
    """Return the encoding that a user named: as Encoding.name writes it, or any codec of Python's.

    Raises LookupError for an unknown name. GB2312 and GBK are read as GB18030, which contains them.
    """
    twice = name.lower().endswith("+gb18030")
    codec = codecs.lookup(name[: -len("+gb18030")] if twice else name).name
    if codec in {"gb2312", "gbk", "cp936"}:
        codec = GB18030
    return Encoding(UTF_8 if codec == "utf-8-sig" else codec, 0, twice)


def detect(sample: bytes) -> Encoding:
    """Return the encoding of an extract from its first bytes; ASCII alone counts as UTF-8.

    The sample may end within a letter. Bytes that are neither UTF-8 nor UTF-16 are GB18030: nothing else is
    in use, and lines that follow neither are reported one by one when they are read.
    """
    for mark, codec in MARKS:
        if sample.startswith(mark):
            text = codecs.getincrementaldecoder(codec)("replace").decode(sample[len(mark) :])
            return Encoding(codec, len(mark), is_twice(text))
    if (wide := _wide(sample)) is not None:
        return Encoding(wide)
    try:
        text = codecs.getincrementaldecoder(UTF_8)().decode(sample)
    except UnicodeDecodeError:
        return Encoding(UTF_8 if _share_of_utf8_lines(sample) > 0.5 else GB18030)
    return Encoding(UTF_8, 0, is_twice(text))


def _wide(sample: bytes) -> str | None:
    """Return the UTF-16 codec of bytes without a mark, by where the zeros of ASCII letters stand."""
    if len(sample) < 4 or b"\0" not in sample:
        return None
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) < len(sample) // 8:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _share_of_utf8_lines(sample: bytes) -> float:
    """Return the share of lines beyond ASCII that are UTF-8: one stray line does not turn the file."""
    lines = [line for line in sample.split(b"\n") if not line.isascii()]
    return sum(_decodes(line, UTF_8) for line in lines) / len(lines) if lines else 0.0


def _decodes(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def is_twice(text: str) -> bool:
    """Whether text is GBK with one Latin letter per byte: put together, its letters are Han."""
    letters = len(_LATIN.findall(text))
    if letters < 2 or _HAN.search(text):
        return False
    undone = undo(text)
    return undone is not None and len(_HAN.findall(undone)) * 4 >= letters


def undo(text: str) -> str | None:
    """Return the text whose GBK bytes came as one letter each; None when they do not add up to GBK."""
    try:
        return text.translate(_CP1252).encode("latin-1").decode(GB18030)
    except UnicodeError:
        return None


def decode(data: bytes, encoding: Encoding) -> str | None:
    """Return the text of one record, trying the other common encoding when it does not follow its file's.

    A file put together from several keeps lines of both; a GB18030 file's line that reads as UTF-8 with Han
    characters only is UTF-8, for by chance that does not happen. None: it follows neither.
    """
    if data.isascii():
        return data.decode("ascii")
    text = _utf8_han(data) if encoding.codec == GB18030 else None
    if text is None:
        text = _strict(data, encoding.codec)
    if text is None and encoding.codec in {GB18030, UTF_8}:
        return _strict(data, GB18030 if encoding.codec == UTF_8 else UTF_8)
    if text is not None and encoding.is_twice:
        return undo(text) or text
    return text


def _strict(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None


_BEYOND_HAN = re.compile("[\u0080-\u1fff]")


def _utf8_han(data: bytes) -> str | None:
    """Return the text when it is UTF-8 without letters of two bytes: GBK pairs look like those (联通)."""
    try:
        text = data.decode(UTF_8)
    except UnicodeDecodeError:
        return None
    return None if _BEYOND_HAN.search(text) else text
