"""The words of a text, for ``_text`` and ``_content``.

Words of letters and digits are folded; Chinese, which writes no spaces, is cut into single characters and
pairs of neighbours, so that a term of any length is found by its pairs.
https://hl7.org/fhir/R4/search.html#text
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

from fhir_server.search.fold import fold

_LONGEST_WORD = 64
_CHINESE = r"\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_PIECES = re.compile(rf"([{_CHINESE}]+)|([^\W_{_CHINESE}]+)")
_NOT_TEXT = frozenset(
    {
        "id",
        "resourceType",
        "reference",
        "system",
        "url",
        "data",
        "lastUpdated",
        "versionId",
        "profile",
        "div",
    }
)
"""Properties whose text nobody reads: ids, addresses, bytes; a narrative is read as what it shows."""


def words(text: str) -> frozenset[str]:
    """Return what ``text`` can be found by: its words, and the characters and pairs of its Chinese."""
    found: set[str] = set()
    for chinese, word in _pieces(text):
        if word:
            found.add(word)
        found.update(chinese)
        found.update(_pairs(chinese))
    return frozenset(found)


def sought(text: str) -> frozenset[str]:
    """Return the words that a text must hold to be found by ``text``: of Chinese the pairs are enough.

    ``sought(text) <= words(text)`` always.
    """
    found: set[str] = set()
    for chinese, word in _pieces(text):
        found.update(_pairs(chinese) if len(chinese) > 1 else chinese)
        if word:
            found.add(word)
    return frozenset(found)


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield (run of Chinese, "") or ("", word), in order."""
    for match in _PIECES.finditer(fold(text)):
        yield match[1] or "", (match[2] or "")[:_LONGEST_WORD]


def _pairs(run: str) -> Iterator[str]:
    return (run[at : at + 2] for at in range(len(run) - 1))


def narrative(tree: dict[str, Any]) -> frozenset[str]:
    """Return the words of a resource's narrative: what its ``text.div`` shows, without markup."""
    text = tree.get("text")
    div = text.get("div") if isinstance(text, dict) else None
    return words(_shown(div)) if isinstance(div, str) else frozenset()


def content(tree: dict[str, Any]) -> frozenset[str]:
    """Return the words of everything a person would read in a resource, its narrative included."""
    return words("\n".join(_strings(tree))) | narrative(tree)


def _strings(node: Any) -> Iterator[str]:
    """Yield every text of a tree, in any order; primitive extensions (``_name``) and contained count too."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, dict):
            waiting.extend(value for key, value in each.items() if key not in _NOT_TEXT)


class _Shown(HTMLParser):
    """Collects what a browser would show, with a break at every tag."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        if tag not in _INLINE:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self.handle_starttag(tag, [])


_INLINE = frozenset({"a", "b", "big", "em", "i", "q", "small", "span", "strong", "sub", "sup", "tt"})


def _shown(xhtml: str) -> str:
    parser = _Shown()
    parser.feed(xhtml)
    parser.close()
    return "".join(parser.parts)
