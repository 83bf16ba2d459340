"""The generated acceptor and the plain walk agree, whatever the tree; nothing raises."""

import copy
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fhir_server.resources.types import RESOURCE_TYPES, definitions
from fhir_server.validation import errors, validate
from fhir_server.validation.accept import accepts
from fhir_server.validation.explain import explain
from tests.strategies import resources
from tests.unit.validation.probes import ACCEPTED, REFUSED
from tests.unit.validation.samples import SAMPLES, changed

_KEYS = sorted({key for each in definitions().values() for key in each.properties})
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**33),
    st.decimals(allow_nan=False),
    st.sampled_from(
        ["", " ", "#", "#org", "#med", "x", "2020-02-30", "Patient/1", "active", "urn:x", "\x00", "1" * 70]
    ),
    st.text(max_size=6),
)
_NAMES = st.one_of(
    st.sampled_from(_KEYS),
    st.sampled_from(_KEYS).map("_{}".format),
    st.just("resourceType"),
    st.text(max_size=4),
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=8,
)


def _places(tree: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in list(keys):
        found.append((tree, key))
        _places(tree[key], found)
    return found


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """Return a valid sample after one to four arbitrary changes."""
    tree = copy.deepcopy(draw(st.sampled_from(list(SAMPLES.values()))))
    for _ in range(draw(st.integers(1, 4))):
        places = _places(tree, [])
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        match draw(st.integers(0, 5)):
            case 0 | 1:
                container[key] = draw(_JSON)
            case 2:
                del container[key]
            case 3 if isinstance(container, dict):
                container[draw(_NAMES)] = container.pop(key)
            case 4 if isinstance(container, dict):
                container["_" + key] = draw(_JSON)
            case _:
                other, where = draw(st.sampled_from(places))
                container[key] = copy.deepcopy(other[where]) if _still(other, where) else None
    return tree


def _still(container: Any, key: Any) -> bool:
    return key in container if isinstance(container, dict) else key < len(container)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_acceptor_and_walk_agree_on_any_mutation(tree: Any) -> None:
    assert accepts(tree) is not bool(explain(tree, warnings=False))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(resources())
def test_acceptor_and_walk_agree_on_every_type(tree: dict[str, Any]) -> None:
    found = explain(tree, warnings=False)

    assert accepts(tree) is not bool(found)
    # The strategy makes valid shapes and minds neither invariants nor where references may point.
    assert all(issue.code != "required" for issue in found)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(RESOURCE_TYPES)), st.dictionaries(_NAMES, _JSON, max_size=6))
@example("Patient", {"contained": [{"id": {"x": Decimal("NaN")}}]})
@example("Patient", {"name": [{"id": []}, {"id": {}}]})
def test_nothing_raises_on_any_tree(name: str, content: dict[str, Any]) -> None:
    tree = {**content, "resourceType": name}

    assert bool(errors(tree)) is any(issue.severity == "error" for issue in validate(tree))
    assert accepts(tree) is not bool(errors(tree))


@given(_JSON)
def test_nothing_raises_on_any_json(tree: Any) -> None:
    assert isinstance(validate(tree), list)


def test_acceptor_and_walk_agree_on_every_probe() -> None:
    for probe in (*REFUSED, *ACCEPTED):
        tree = changed(probe.sample, *probe.changes)

        assert accepts(tree) is not bool(explain(tree, warnings=False)), probe.name


def test_every_type_has_an_acceptor() -> None:
    for name in sorted(RESOURCE_TYPES):
        tree = {"resourceType": name}

        assert accepts(tree) is not bool(explain(tree, warnings=False)), name
