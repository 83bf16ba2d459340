"""Whether a change of Consents only takes away: such a change is never refused for how much they say.

Told by how they are written, not by whom they let see what: what is not seen to be narrower counts as wider.
conformance/decisions/0014-what-a-consent-means.md
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.consent.provisions import Provision
from fhir_server.consent.rule import Terms
from fhir_server.consent.source import ACTIVE, SUPERSEDING, Directive


def narrows(before: Iterable[Directive], after: Iterable[Directive]) -> bool:
    """Tell whether ``after`` permits nothing that ``before`` did not, and denies all that it denied.

    Both are of one patient. A Consent that is new, or about something else than it was, or older than it was,
    is taken for a wider one.
    """
    known = {each.id: each for each in before}
    return all(each.id in known and _is_narrower(each, known[each.id]) for each in after)


def _is_narrower(new: Directive, old: Directive) -> bool:
    if new == old:
        return True
    # What replaced others goes on replacing them, whatever it says itself.
    if new.policies != old.policies or new.made < old.made or new.status not in SUPERSEDING:
        return False
    return new.status != ACTIVE or _takes_away(new.provisions, old.provisions)


def _takes_away(new: tuple[Provision, ...], old: tuple[Provision, ...]) -> bool:
    permits = [each for each in new if each.permit]
    denials = [each for each in old if not each.permit]
    return all(any(covers(wide, each) for wide in old) for each in permits) and all(
        any(covers(wide, each) for wide in new) for each in denials
    )


def covers(wide: Provision, narrow: Provision) -> bool:
    """Tell whether ``wide`` speaks, in the same sense, of all that ``narrow`` speaks of, exceptions apart."""
    return (
        wide.permit == narrow.permit
        and wide.start <= narrow.start
        and narrow.end <= wide.end
        and _within(narrow.terms, wide.terms)
        # What the wide one leaves out the narrow one leaves out too.
        and all(any(covers(each, left) for each in narrow.exceptions) for left in wide.exceptions)
    )


def _within(narrow: Terms, wide: Terms) -> bool:
    """Tell whether what satisfies ``narrow`` satisfies ``wide``: an element that is absent asks nothing."""
    pairs: tuple[tuple[tuple[object, ...], tuple[object, ...]], ...] = (
        (narrow.actors, wide.actors),
        (narrow.actions, wide.actions),
        (narrow.labels, wide.labels),
        (narrow.purposes, wide.purposes),
        (narrow.classes, wide.classes),
        (narrow.codes, wide.codes),
        (narrow.data, wide.data),
    )
    return _in_period(narrow.period, wide.period) and all(
        not most or (bool(some) and set(some) <= set(most)) for some, most in pairs
    )


def _in_period(narrow: tuple[int, int] | None, wide: tuple[int, int] | None) -> bool:
    if wide is None:
        return True
    return narrow is not None and wide[0] <= narrow[0] and narrow[1] <= wide[1]
