"""Parse a search: names and values in, a :class:`Query` and what shapes its result out.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, cast

from fhir_server.faults import Fault, Issue, Kind
from fhir_server.frozen import frozen
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.criteria import criterion, searchable
from fhir_server.search.filter import filtered
from fhir_server.search.includes import ANY, Include, includes
from fhir_server.search.parameters import UnknownParameter, shown
from fhir_server.search.predicate import All, AnyOf, Chain, Has, Not, Predicate, all_of
from fhir_server.search.query import Query, Sort
from fhir_server.search.terms import Options

__all__ = ["Include", "Options", "Search", "parse"]

_MAX_VALUES = 2000
_MAX_SORTS = 8
_SUMMARIES = ("true", "false", "text", "data", "count")
_TOTALS = ("none", "estimate", "accurate")
_ALLOWED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "_total": _TOTALS,
        "_summary": _SUMMARIES,
        "_contained": ("false", "true", "both"),
        "_containedType": ("container", "contained"),
    }
)
"""The values of parameters that are given once; of ``_count`` any whole number."""


@frozen
class Search:
    """A search as it was understood.

    ``elements``: the names in ``_elements``; ``summary``: the value of ``_summary``, None when not given.
    ``ignored``: a warning for each parameter that had no effect. ``understood``: the names and values that
    had, in order, for the self link. https://hl7.org/fhir/R4/search.html#conformance
    ``contained``: whether contained resources are looked for, instead of others (true) or too (both), and
    ``contained_type`` what of them is told. https://hl7.org/fhir/R4/search.html#contained
    """

    query: Query
    includes: tuple[Include, ...] = ()
    elements: tuple[str, ...] = ()
    summary: str | None = None
    ignored: tuple[Issue, ...] = ()
    understood: tuple[tuple[str, str], ...] = ()
    contained: Literal["false", "true", "both"] = "false"
    contained_type: Literal["container", "contained"] = "container"


@dataclass(slots=True)
class _Draft:
    """What the parameters read so far say."""

    type: str
    options: Options
    where: list[Predicate] = field(default_factory=list)
    sort: list[Sort] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)
    elements: list[str] = field(default_factory=list)
    once: dict[str, str] = field(default_factory=dict)
    ignored: list[Issue] = field(default_factory=list)
    understood: list[tuple[str, str]] = field(default_factory=list)


def parse(type_: str, parameters: Sequence[tuple[str, str]], options: Options) -> Search:
    """Parse the parameters of a search for ``type_`` ("Resource": what every type has in common).

    Repeated parameters are joined by AND, values with commas by OR. An empty value is ignored with a warning.
    A parameter that the type lacks is refused, or ignored with a warning unless ``options.strict``.
    A modifier or value that cannot be read is always refused: the search would find what nobody asked for.
    """
    if type_ not in RESOURCE_TYPES and type_ != "Resource":
        raise Fault(Kind.UNKNOWN_TYPE, f"R4 has no resource type {shown(type_)}.")
    if sum(value.count(",") + 1 for _, value in parameters) > _MAX_VALUES:
        raise Fault(Kind.BAD_PARAMETER, f"A search may hold {_MAX_VALUES} values; divide it into several.")
    draft = _Draft(type_, options)
    for name, value in parameters:
        _check_text(name, value)
        try:
            warning = _read(draft, name, value)
        except UnknownParameter as fault:
            if options.strict:
                raise
            warning = fault.diagnostics
        if warning:
            draft.ignored.append(Issue("warning", "not-supported", f"{warning} It was ignored."))
        else:
            draft.understood.append((name, value))
    return _finished(draft)


def _check_text(name: str, value: str) -> None:
    """Refuse lone surrogates: they are no characters, and nothing stored holds them."""
    try:
        (name + value).encode()
    except UnicodeEncodeError:
        raise Fault(
            Kind.BAD_PARAMETER, "A search parameter is not valid Unicode; send it as UTF-8."
        ) from None


def _read(draft: _Draft, name: str, value: str) -> str | None:
    """Read one parameter into the draft; return why it has no effect, if it has none."""
    if not value:
        return f"The search parameter {shown(name)} has no value."
    control = _CONTROLS.get(name.partition(":")[0])
    if control is not None:
        return control(draft, name, value)
    predicate = criterion(draft.type, name, value, draft.options)
    if predicate is None:
        return f"The search parameter {shown(name)} has no value."
    draft.where.append(predicate)
    return None


def _read_sort(draft: _Draft, _: str, value: str) -> str | None:
    """Read ``_sort``. https://hl7.org/fhir/R4/search.html#sort"""
    for key in value.split(","):
        code = key.strip().removeprefix("-")
        if not searchable(draft.type, code, draft.options.registry).is_sortable:
            raise UnknownParameter(f"{shown(code)} has no order to sort by.")
        # Among equals in a parameter, the same parameter decides nothing more.
        if all(code != sort.param for sort in draft.sort):
            draft.sort.append(Sort(code, descending=key.strip().startswith("-")))
    if len(draft.sort) > _MAX_SORTS:
        raise Fault(Kind.BAD_PARAMETER, f"_sort takes at most {_MAX_SORTS} parameters.")
    return None


def _read_include(draft: _Draft, name: str, value: str) -> str | None:
    """Read ``_include`` and ``_revinclude``; one that starts from a type not searched for has no effect."""
    found = includes(draft.type, name, value, draft.options.registry)
    sources = (ANY, draft.type)
    if draft.type != "Resource" and any(
        not (each.reverse or each.iterate) and each.type not in sources for each in found
    ):
        return f"{name} must start from {draft.type}, or be {name}:iterate to start from what was included."
    draft.includes += found
    return None


def _read_elements(draft: _Draft, _: str, value: str) -> str | None:
    """Read ``_elements``. https://hl7.org/fhir/R4/search.html#elements"""
    draft.elements += [name.strip() for name in value.split(",") if name.strip()]
    return None


def _read_filter(draft: _Draft, name: str, value: str) -> str | None:
    """Read ``_filter``, which is one criterion more. https://hl7.org/fhir/R4/search_filter.html"""
    if name != "_filter":
        raise Fault(Kind.UNSUPPORTED_PARAMETER, "_filter takes no modifier.")
    draft.where.append(filtered(draft.type, value, draft.options))
    return None


def _read_contained(draft: _Draft, name: str, value: str) -> str | None:
    """Read ``_contained`` and ``_containedType``, where contained resources can be searched.

    https://hl7.org/fhir/R4/search.html#contained
    """
    if not draft.options.contained and (name, value) != ("_contained", "false"):
        raise UnknownParameter(
            "Contained resources are searched by type alone, as in Medication?_contained=true; here, search "
            "for the resources that contain them."
        )
    return _read_once(draft, name, value)


def _read_query(_: _Draft, __: str, ___: str) -> str | None:
    """Refuse a named query. https://hl7.org/fhir/R4/search.html#query"""
    raise UnknownParameter(
        "There are no named queries here; use search parameters, _filter, or an operation such as "
        "Observation/$lastn or Patient/$match."
    )


def _read_once(draft: _Draft, name: str, value: str) -> str | None:
    """Keep the one value of a parameter that is given once."""
    allowed = _ALLOWED.get(name)
    if name != "_count" and allowed is None:
        raise Fault(Kind.UNSUPPORTED_PARAMETER, f"{name.partition(':')[0]} takes no modifier.")
    if draft.once.setdefault(name, value) != value:
        raise Fault(Kind.BAD_PARAMETER, f"{name} is given twice; give it once.")
    if allowed is not None and value not in allowed:
        raise Fault(Kind.BAD_PARAMETER, f"{name} is one of {', '.join(allowed)}.")
    if allowed is None and not (value.isascii() and value.isdigit()):
        raise Fault(Kind.BAD_PARAMETER, f"{name} is a whole number, 0 or more.")
    return None


_CONTROLS: Mapping[str, Callable[[_Draft, str, str], str | None]] = MappingProxyType(
    {
        "_sort": _read_sort,
        "_include": _read_include,
        "_revinclude": _read_include,
        "_elements": _read_elements,
        "_filter": _read_filter,
        "_query": _read_query,
        "_contained": _read_contained,
        "_containedType": _read_contained,
        "_count": _read_once,
        "_total": _read_once,
        "_summary": _read_once,
    }
)
"""Parameters that shape the result. https://hl7.org/fhir/R4/search.html#return"""


def _finished(draft: _Draft) -> Search:
    summary = draft.once.get("_summary")
    count = 0 if summary == "count" else _count(draft.once.get("_count"), draft.options)
    contained = draft.once.get("_contained", "false")
    if contained != "false":
        _check_contained(draft)
    counted = count == 0 or draft.once.get("_total") in ("accurate", "estimate")
    query = Query(
        type=draft.type,
        where=all_of(draft.where),
        sort=tuple(draft.sort),
        count=count,
        total="accurate" if counted else "none",
    )
    return Search(
        query=query,
        includes=tuple(dict.fromkeys(draft.includes)),
        elements=tuple(dict.fromkeys(draft.elements)),
        summary=summary,
        ignored=tuple(draft.ignored),
        understood=tuple(draft.understood),
        contained=cast("Literal['false', 'true', 'both']", contained),
        contained_type=cast(
            "Literal['container', 'contained']", draft.once.get("_containedType", "container")
        ),
    )


def _check_contained(draft: _Draft) -> None:
    """Refuse what would ask for more than a contained resource says of itself.

    Its references may lead to its container or to others within, which no index follows; nothing refers to
    it from elsewhere; and its values order nothing, since its container is what is found.
    """
    advice = "search for the resources that contain them, and go on from there."
    if any(map(_leads_on, draft.where)):
        words = f"Contained resources are not searched along references (chains, _has, :above); {advice}"
    elif draft.includes:
        words = f"Nothing is included beside contained resources; {advice}"
    elif any(sort.param != "_lastUpdated" for sort in draft.sort):
        words = (
            "With _contained, _sort takes _lastUpdated alone: that of the resource that contains the other."
        )
    else:
        return
    raise Fault(Kind.UNSUPPORTED_PARAMETER, words)


def _leads_on(predicate: Predicate) -> bool:
    """Tell whether a predicate asks for anything of other resources."""
    if isinstance(predicate, All | AnyOf):
        return any(map(_leads_on, predicate.items))
    return _leads_on(predicate.item) if isinstance(predicate, Not) else isinstance(predicate, Chain | Has)


def _count(written: str | None, options: Options) -> int:
    """Return the entries in a page. https://hl7.org/fhir/R4/search.html#count"""
    if written is None:
        return min(options.default_count, options.max_count)
    # More than nine digits are more than any page holds; to convert thousands of them would be refused.
    return options.max_count if len(written.lstrip("0")) > 9 else min(int(written), options.max_count)
