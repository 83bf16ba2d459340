"""Requests made from the OpenAPI document: the real server answers each as the document says."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fhir_server.rest.openapi import document
from fhir_server.rest.routes import ROUTES, Route
from tests.http.server import BASE, Server

SCHEMA = schemathesis.openapi.from_dict(json.loads(document()))
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
NOT_SERVED = {501}


def sent(server: Server, case: schemathesis.Case) -> httpx.Response:
    """Send a case to the server of the test."""
    made: dict[str, Any] = case.as_transport_kwargs(base_url=BASE)
    body = made.get("data")
    given_body = {"content": body} if isinstance(body, (str, bytes)) else {"data": body}
    if "json" in made:
        given_body = {"json": made["json"]}
    headers = {name: value for name, value in made["headers"].items() if name != "Connection"}
    return server.request(made["method"], made["url"], params=made["params"], headers=headers, **given_body)


# Not SCHEMA.parametrize(): its cases share one name, and pytest-xdist would run the first of them only.
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_documented_operation_answers_as_documented(server: Server, route: Route) -> None:
    statuses = []

    @settings(max_examples=10, suppress_health_check=list(HealthCheck), deadline=None)
    @given(SCHEMA[route.path][route.method].as_strategy())
    def check(case: schemathesis.Case) -> None:
        response = sent(server, case)
        checks = CHECKS if response.status_code in NOT_SERVED else [not_a_server_error, *CHECKS]
        case.validate_response(response, checks=checks)
        statuses.append(response.status_code)

    check()
    assert len(statuses) > 1
