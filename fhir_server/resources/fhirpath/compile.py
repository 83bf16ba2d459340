"""Turn a FHIRPath expression into Python closures, once; run it as often as needed.

http://hl7.org/fhirpath/N1/ and, for what FHIR adds to it, https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fhir_server.resources.fhirpath import ast, operators
from fhir_server.resources.fhirpath import scalars as _scalars  # noqa: F401 - enters its functions
from fhir_server.resources.fhirpath import sets as _sets  # noqa: F401 - enters its functions
from fhir_server.resources.fhirpath.ast import FhirPathError
from fhir_server.resources.fhirpath.node import Node, is_a, known_type, members, system, wrap
from fhir_server.resources.fhirpath.operators import single
from fhir_server.resources.fhirpath.parse import parse
from fhir_server.resources.fhirpath.registry import FUNCTIONS
from fhir_server.resources.fhirpath.scope import Closure, Items, Run, Scope, truth

_NOTHING: Mapping[str, Any] = {}
CONSTANTS = {
    "ucum": "http://unitsofmeasure.org",
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
}
"""Variables whose value is the same everywhere."""


class Expression:
    """A compiled expression: call it with a tree (and variables) to get values.

    ``type_name`` is the FHIR type of the trees that do not name their own (a backbone path, a data type).
    """

    __slots__ = ("_run", "text", "type_name")

    def __init__(self, text: str, run: Closure, type_name: str) -> None:
        self.text = text
        self.type_name = type_name
        self._run = run

    def __call__(self, tree: Any, env: Mapping[str, Any] = _NOTHING) -> list[Any]:
        """Return the values found (none for a primitive that has no value); raise FhirPathError.

        ``env``: ``resource``, ``rootResource``, ``context`` (trees), ``resolve`` (reference → tree or None),
        ``now`` (milliseconds), and variables by name.
        """
        return [node.value for node in self.locate(tree, env) if node.value is not None]

    def locate(self, tree: Any, env: Mapping[str, Any] = _NOTHING) -> list[Node]:
        """Return what was found with its type and place (parent, key, index), for a patch or a message."""
        focus = wrap(tree, self.type_name)
        return self._evaluate(focus, Run(focus, env))

    def decide(self, focus: Node, env: Mapping[str, Any], *, trusted: bool = False) -> bool | None:
        """Return true, false or None (empty), as an invariant asks; ``trusted``: see :class:`scope.Run`."""
        return truth(self._evaluate(focus, Run(focus, env, trusted=trusted)))

    def _evaluate(self, focus: Node, run: Run) -> Items:
        try:
            return self._run(Scope(run, [focus]))
        except RecursionError:
            raise FhirPathError("the resource is nested too deeply for this expression") from None


@lru_cache(maxsize=2048)
def compile(expression: str, type_name: str = "") -> Expression:  # noqa: A001 - the word for it, as in re.compile
    """Compile ``expression`` for trees of ``type_name``; a mistake raises FhirPathError with its position."""
    return Expression(expression, _closure(parse(expression)), type_name)


def _closure(node: ast.Node) -> Closure:  # noqa: C901, PLR0911 - one branch per production
    match node:
        case ast.Literal():
            items = [Node(node.value, node.type_name)] if node.type_name else []
            return lambda _: items
        case ast.This():
            return lambda scope: scope.this
        case ast.Special():
            if node.name == "index":
                return lambda scope: [system(scope.index)]
            return lambda scope: scope.total or []
        case ast.Variable():
            return _variable(node)
        case ast.Step():
            return _step(_closure(node.base), node.name, first=node.first)
        case ast.Index():
            return _index(_closure(node.base), _closure(node.index))
        case ast.Unary():
            return (
                operators.negate(_closure(node.operand)) if node.operator == "-" else _closure(node.operand)
            )
        case ast.Binary():
            return operators.binary(node.operator, _closure(node.left), _closure(node.right))
        case ast.TypeOperator():
            return _of_type(node.operator, _closure(node.operand), node.type_name, node.position)
        case ast.Call():
            return _call(node)


def _variable(node: ast.Variable) -> Closure:
    name = node.name
    if name in CONSTANTS:
        constant = [system(CONSTANTS[name])]
        return lambda _: constant
    if name.startswith(("vs-", "ext-")):
        space = "ValueSet" if name.startswith("vs-") else "StructureDefinition"
        link = [system(f"http://hl7.org/fhir/{space}/{name.partition('-')[2]}")]
        return lambda _: link
    match name:
        case "resource":
            return lambda scope: [scope.run.resource]
        case "rootResource":
            return lambda scope: [scope.run.root]
        case "context":
            return lambda scope: [scope.run.context]
    return lambda scope: scope.run.variable(name)


def _step(base: Closure, name: str, *, first: bool) -> Closure:
    def inner(scope: Scope) -> Items:
        items = base(scope)
        if len(items) == 1:
            return members(items[0], name)
        scope.run.spend(len(items))
        return [child for item in items for child in members(item, name)]

    if not (first and name[:1].isupper()):
        return inner

    def start(scope: Scope) -> Items:
        # "Patient.name" on a Patient: the first name may be that of the context's own type.
        own = [item for item in scope.this if is_a(item.type_name, name)]
        return own or inner(scope)

    return start


def _index(base: Closure, index: Closure) -> Closure:
    def run(scope: Scope) -> Items:
        items, at = base(scope), single(index(scope))
        if at is None or type(at.value) is not int or at.value < 0:
            return []
        return items[at.value : at.value + 1]

    return run


def _of_type(operator: str, operand: Closure, type_name: str, position: int) -> Closure:
    if not known_type(type_name):
        raise FhirPathError(f"there is no type {type_name[:64]} in R4", position)

    def test(scope: Scope) -> Items:
        item = single(operand(scope))
        return [] if item is None else operators.boolean(is_a(item.type_name, type_name))

    def narrow(scope: Scope) -> Items:
        return [item for item in operand(scope) if is_a(item.type_name, type_name)]

    return test if operator == "is" else narrow


def _call(node: ast.Call) -> Closure:
    base, name = _closure(node.base), node.name
    if name in ("is", "as", "ofType") and len(node.arguments) == 1:
        return _of_type(name, base, _type_argument(node.arguments[0], node.position), node.position)
    entry = FUNCTIONS.get(name)
    if entry is None:
        raise FhirPathError(f"there is no function {name[:64]}() here", node.position)
    if not entry.least <= len(node.arguments) <= entry.most:
        raise FhirPathError(f"{name}() takes {entry.least} to {entry.most} arguments", node.position)
    run, arguments = entry.run, [_closure(argument) for argument in node.arguments]
    if not arguments:
        return lambda scope: run(scope, base(scope))
    return lambda scope: run(scope, base(scope), *arguments)


def _type_argument(node: ast.Node, position: int) -> str:
    if isinstance(node, ast.Step):
        if isinstance(node.base, ast.This):
            return node.name
        if isinstance(node.base, ast.Step) and isinstance(node.base.base, ast.This):
            return f"{node.base.name}.{node.name}"
    raise FhirPathError("the name of a type is needed here", position)
