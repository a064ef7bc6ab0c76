"""The OpenAPI page says what the server does: schemathesis asks every route, rightly and wrongly."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving.faults.conftest import Plain

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


NAMES = {
    "task": ["mood", "gate", "music", "orders", "nobody"],
    "model": ["mood", "gate:latest", "music", "orders", "mood@99"],
}
"""What requests name; at random they would name what is there once in a lifetime."""


@pytest.mark.parametrize("examples", [3, pytest.param(150, marks=pytest.mark.slow)])
def test_every_route_does_what_its_page_says(plain: Plain, examples: int) -> None:
    page: Any = schemathesis.openapi.from_dict(_named(plain.server.send("GET", "/openapi.json").value))
    asked: Counter[int] = Counter()
    wrong = []
    for found in page.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                _try(operation, mode, examples, plain.server.address, asked)
            except* Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, (
                    operation.label
                )  # nothing can be wrong where nothing is sent
            except* Exception as errors:  # all of them at once, else only the first route is told
                wrong += [f"{operation.label}: {error}" for error in errors.exceptions]
    assert not wrong, "\n".join(wrong)
    assert asked[200] >= 10 + 2 * (examples - 3), asked


def _named(page: Any) -> Any:
    """The page with the names of tasks that are there."""
    known = page["components"]["schemas"]
    schemas = [known[name].get("properties", {}) for name in known if not name.endswith("Out")]
    told = [(name, properties[name]) for properties in schemas for name in NAMES if name in properties]
    for operation in (one for path in page["paths"].values() for one in path.values()):
        told += [
            (one["name"], one["schema"]) for one in operation.get("parameters", []) if one["in"] == "path"
        ]
    for name, schema in told:
        if schema.get("type") == "string":
            schema["enum"] = NAMES[name]
    return page


def _try(operation: Any, mode: GenerationMode, examples: int, address: str, asked: Counter[int]) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        asked[case.call_and_validate(base_url=address, checks=CHECKS).status_code] += 1

    ask()
