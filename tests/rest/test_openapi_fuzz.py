"""Requests made from the OpenAPI document are answered with a documented status, type and shape."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fhir_server.config import Settings
from fhir_server.interactions.request import Reply, Request
from fhir_server.rest.asgi import Rest
from fhir_server.rest.routes import ROUTES, Route

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


async def _run(_request: Request) -> Reply:
    return Reply(200, b'{"resourceType":"Basic","id":"1"}', etag=1, modified=0)


async def _ready() -> bool:
    return True


REST = Rest(Settings.model_validate({"base_url": "http://localhost/fhir"}), _run, _ready)


async def _app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await REST(scope, receive, send)


SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", _app)


# Not SCHEMA.parametrize(): its cases share one name, and pytest-xdist would run the first of them only.
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_documented_operation_answers_as_documented(route: Route) -> None:
    statuses = []

    @settings(max_examples=4, suppress_health_check=list(HealthCheck), deadline=None)
    @given(SCHEMA[route.path][route.method].as_strategy())
    def check(case: schemathesis.Case) -> None:
        statuses.append(case.call_and_validate(checks=CHECKS).status_code)

    check()
    assert statuses
    assert max(statuses) < 500
