"""How a Chinese name sounds: in full pinyin and by initials, in every reading of its characters.

``name=zhangwei``, ``name=zhang wei`` and ``name=zw`` find 张伟. Readings are those of the library pypinyin,
character by character: a name is no phrase, and a surname often has the rarer reading (单 is Shan, 仇 Qiu).
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import islice

from fhir_server.search.fold import fold

_MOST_READINGS = 4
_MOST_SOUNDS = 24
_LONGEST = 16
_CHINESE = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_PINYIN = re.compile(r"[a-z][a-z '’·.-]*")
_BETWEEN = re.compile(r"[ '’·.-]+")
_DIAERESIS = "\u0308"


def is_chinese(text: str) -> bool:
    """Say whether a Chinese character occurs in ``text``."""
    return not text.isascii() and _CHINESE.search(text) is not None


def spoken(text: str) -> str | None:
    """Return what a caller may have typed as pinyin, without spaces; None when it cannot be pinyin.

    ``text`` is folded already (:func:`fold`): ``Lǚ`` came in as ``lu``, which is one of the ways to write it.
    """
    return _BETWEEN.sub("", text) if _PINYIN.fullmatch(text) else None


@lru_cache(maxsize=16384)
def sounds(text: str) -> tuple[str, ...]:
    """Return the pinyin of the Chinese in ``text`` and its initials, in the likeliest readings first.

    At most 24 of each; what stands beside Chinese characters in Latin letters stays. Nothing without any
    Chinese character.
    """
    if not is_chinese(text):
        return ()
    characters = [each for each in fold(text) if each.isalnum()][:_LONGEST]
    readings = [_readings(each) for each in characters]
    full = _joined([each for each in readings if each])
    initials = _joined([tuple(dict.fromkeys(one[0] for one in each)) for each in readings if each])
    return tuple(dict.fromkeys((*full, *initials)))


def _joined(readings: list[tuple[str, ...]]) -> list[str]:
    """Join one reading of each character, in every way up to the limit: the commoner its parts the sooner."""
    ways = [(0, "")]
    for each in readings:
        longer = [(rank + place, way + one) for rank, way in ways for place, one in enumerate(each)]
        ways = sorted(longer, key=lambda way: way[0])[:_MOST_SOUNDS]
    return [way for _, way in ways if way]


@lru_cache(maxsize=8192)
def _readings(character: str) -> tuple[str, ...]:
    """Return the readings of one character without tones; a Latin letter or digit reads as itself."""
    if character.isascii():
        return (character,)
    written = _dictionary().get(ord(character), "")
    plain = (one for each in written.split(",") for one in _plain(each))
    return tuple(islice(dict.fromkeys(plain), _MOST_READINGS))


def _plain(syllable: str) -> tuple[str, ...]:
    """Drop the tone; ü is written v (input methods), yu (passports) or u."""
    decomposed = unicodedata.normalize("NFD", syllable)
    letters = [each for each in decomposed if not unicodedata.combining(each) or each == _DIAERESIS]
    bare = "".join(letters)
    if _DIAERESIS not in bare:
        return (bare,) if bare.isascii() and bare.isalpha() else ()
    return tuple(bare.replace("u" + _DIAERESIS, way) for way in ("v", "yu", "u"))


@cache
def _dictionary() -> Mapping[int, str]:
    # The dictionary of phrases is not wanted and would take 45 MB; the library asks this variable alone.
    os.environ.setdefault("PYPINYIN_NO_PHRASES", "true")
    from pypinyin.constants import PINYIN_DICT  # noqa: PLC0415 - loaded when the first Chinese name is met

    dictionary: Mapping[int, str] = PINYIN_DICT
    return dictionary
