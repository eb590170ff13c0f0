"""Every request and every answer of the description has an example that its own schema admits."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from memsys_api import app
from memsys_api.settings import Settings

DESCRIPTION: dict[str, Any] = app.create(
    Settings.model_validate({"DATABASE_URL": "postgresql://u@h/d", "MEMSYS_ADMIN_KEY": "k" * 20})
).openapi()
CONTENTS = [
    pytest.param(content, id=f"{method} {path} {where} {media}")
    for path, operations in DESCRIPTION["paths"].items()
    for method, operation in operations.items()
    for where, described in [("request", operation.get("requestBody", {})), *operation["responses"].items()]
    for media, content in described.get("content", {}).items()
    if where == "request" or int(where) >= 400 or media == "application/json"
]


@pytest.mark.parametrize("content", CONTENTS)
def test_the_example_is_what_its_schema_says(content: dict[str, Any]) -> None:
    given = [one["value"] for one in content.get("examples", {}).values()] or [content["example"]]
    schema = {**content.get("schema", {}), "components": DESCRIPTION["components"]}
    for example in given:
        errors = [error.message for error in Draft202012Validator(schema).iter_errors(example)]
        assert not errors


def test_there_are_examples_to_look_at() -> None:
    assert len(CONTENTS) > 500
