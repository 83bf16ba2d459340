"""Converters of codes: by a code table, as a code, a Coding or a CodeableConcept; sex.

https://hl7.org/fhir/R4/datatypes.html#Coding
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

from mappings.engine.codes import CodeTable
from mappings.engine.converters.base import Converter, Options, Warned, as_text, chosen
from mappings.engine.path import Path, find, parse
from mappings.engine.support import quoted
from mappings.engine.systems import common


@cache
def _native() -> Path:
    """Return where a Coding keeps its native code; made when asked for: it reads the table of systems."""
    return parse("extension('native-code').valueString", common())


def by_table(table: CodeTable, form: str) -> Converter:
    """Translate by ``table``; ``form``: code (what FHIR says), coding or concept (native and what FHIR says).

    A Coding or CodeableConcept always keeps the native code; one that the table knows only by its prefix
    stands in the extension native-code beside the code that is known. A code that the table does not know at
    all is kept with a warning as a Coding; as a mere code it is an error.
    """
    makers: dict[str, Callable[[CodeTable], Converter]] = {
        "code": _code,
        "coding": _coding,
        "concept": _concept,
    }
    if form not in makers:
        raise ValueError(f"'as: {form}' is not known here (code, coding or concept).")
    return makers[form](table)


def _code(table: CodeTable) -> Converter:
    def read(native: str) -> str:
        known = table.known(native)
        if known is None:
            raise ValueError(f"The code {quoted(native)} is not in the table {table.name}.")
        code = table.to.get(known) if table.to else native
        if code is None:
            raise ValueError(f"The table {table.name} says of the code '{known}' no FHIR code.")
        return code

    def write(element: Any) -> str:
        code = as_text(element)
        native = table.native_for(code) if table.to else table.known(code) and code
        if native is None:
            raise ValueError(f"The table {table.name} has no native code for this element.")
        return native

    natives = tuple(dict.fromkeys(table.native_for(code) or "" for code in table.to.values()))
    return Converter("codes", read, write, lambda random: random.choice(natives or table.natives))


def _coding(table: CodeTable) -> Converter:
    extension = common().extension("native-code")
    system = {"system": table.system} if table.system else {}

    # A Coding is made anew each time, for trees are not shared.
    def read(native: str) -> Any:
        known = table.known(native)
        if known is None:
            sentence = f"The code {quoted(native)} is not in the table {table.name}; it is kept as it is."
            return Warned({**system, "code": native}, sentence)
        coding: dict[str, Any] = {**system, "code": known}
        if table.display.get(known):
            coding["display"] = table.display[known]
        if known != native:
            coding["extension"] = [{"url": extension, "valueString": native}]
        return coding

    def write(coding: Any) -> str:
        if not isinstance(coding, dict) or "code" not in coding:
            raise ValueError("A Coding with a code is expected here.")
        kept = find(coding, _native())
        if kept is not None:
            return as_text(kept)
        if table.system and common().canonical(as_text(coding.get("system", table.system))) != table.system:
            raise ValueError(f"The Coding is not of the system of the table {table.name}.")
        return as_text(coding["code"])

    return Converter("codes", read, write, _some(table), warns=True)


def _some(table: CodeTable) -> Callable[[Random], str]:
    def sample(random: Random) -> str:
        code = random.choice(table.natives)
        return f"{code}~{random.randint(1, 9)}" if table.prefix and random.random() < 0.2 else code

    return sample


def _concept(table: CodeTable) -> Converter:
    inner = _coding(table)
    same = table.target == table.system

    def read(native: str) -> Any:
        result = inner.read(native)
        coding = result.value if isinstance(result, Warned) else result
        codings = [coding]
        fhir = table.to.get(table.known(native) or "") if not same else None
        if fhir is not None:
            second = {"system": table.target, "code": fhir} if table.target else {"code": fhir}
            if fhir in table.target_display:
                second["display"] = table.target_display[fhir]
            codings.append(second)
        concept = {"coding": codings}
        return Warned(concept, result.sentence) if isinstance(result, Warned) else concept

    def write(concept: Any) -> str:
        codings = concept.get("coding", ()) if isinstance(concept, dict) else ()
        canonical = common().canonical
        own = [one for one in codings if "code" in one and canonical(one.get("system", "")) == table.system]
        if own:
            return str(inner.write(own[0]))
        target = [one for one in codings if table.to and one.get("system", "") == table.target]
        native = table.native_for(target[0].get("code")) if target else None
        if native is None:
            raise ValueError(f"No coding of this element is known to the table {table.name}.")
        return native

    return Converter("codes", read, write, _some(table), warns=True)


_WORDS = {"male": "男", "female": "女", "unknown": "未知", "other": "其他"}
_DIGITS = {"male": "1", "female": "2", "unknown": "0", "other": "9"}
_READ = {
    "1": "male", "2": "female", "0": "unknown", "9": "unknown",
    "男": "male", "女": "female", "男性": "male", "女性": "female", "M": "male", "F": "female",
    "m": "male", "f": "female", "male": "male", "female": "female", "未知": "unknown", "不详": "unknown",
    "其他": "other", "未说明": "unknown", "U": "unknown", "O": "other",
}  # fmt: skip


def gender(options: Options) -> Converter:
    """Read sex by GB/T 2261.1 or as a word; ``{gender: {write: digit}}`` (1, 2, 0, 9) or ``word`` (男, 女 …).

    0 and 9 both mean unknown: keep the native code beside it where that matters (extension gender-gb).
    https://hl7.org/fhir/R4/valueset-administrative-gender.html
    """
    style = chosen(options, write="digit")["write"]
    if style not in {"digit", "word"}:
        raise ValueError("'write' is digit or word.")
    back = _DIGITS if style == "digit" else _WORDS

    def read(value: str) -> str:
        if value not in _READ:
            raise ValueError("The value is no sex that is known here (0, 1, 2, 9, 男, 女, 未知, 其他, M, F).")
        return _READ[value]

    def write(value: Any) -> str:
        if not isinstance(value, str) or value not in back:
            raise ValueError("The element's value is no administrative gender.")
        return back[value]

    return Converter(
        "gender", read, write, lambda random: random.choice([back[_READ[v]] for v in ("1", "2", "0")])
    )
