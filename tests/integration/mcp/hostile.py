"""Every call that a hostile model could think of, made from what the server says of itself.

A new tool, argument, resource or prompt is attacked without a line of test being written; an argument of a new kind
fails the test until it is known here what would be hostile in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fastmcp

from .clients import Session

UNDECLARED = ("project", "project_id", "x-memsys-project", "headers", "scope", "filters")
BENIGN = {"string": "vault code", "integer": 100, "boolean": True, "object": {}}


@dataclass(frozen=True)
class Prey:
    """What must not be reached: a memory of a user in a project, and the words that give it away."""

    project: str
    user: str
    memory_id: str
    marker: str


def hostile_strings(prey: Prey) -> list[str]:
    return [
        prey.project,
        prey.user,
        prey.memory_id,
        f"../{prey.project}",
        f"{prey.project}\r\nX-Memsys-Project: {prey.project}",
        f"' OR project = '{prey.project}' --",
        "*",
        "\x00",
    ]


def hostile_values(schema: dict[str, Any], prey: Prey) -> list[Any]:
    """What to try for an argument of this schema."""
    kinds = {part.get("type") for part in schema.get("anyOf", [schema])} - {"null"}
    values: list[Any] = [None]
    for kind in kinds:
        if kind == "string":
            values += hostile_strings(prey)
        elif kind == "integer":
            values += [-1, 0, 100, 2**63]
        elif kind == "boolean":
            values += [True, False]
        elif kind == "object":
            values += [{"project": prey.project, "user_id": prey.user}, {"$or": [{"user_id": prey.user}]}]
        else:
            raise AssertionError(f"say here what is hostile in an argument of type {kind!r}: {schema}")
    return values


def calls(tool: Any, prey: Prey) -> Iterator[dict[str, Any]]:
    """The arguments of every attack through one tool."""
    schema = tool.input_schema
    properties: dict[str, Any] = schema["properties"]
    plain = {name: _plain(properties[name], prey) for name in schema.get("required", ())}
    yield plain
    yield {name: _plain(part, prey) for name, part in properties.items()}
    for name, part in properties.items():
        for value in hostile_values(part, prey):
            yield {**plain, name: value}
    for name in UNDECLARED:
        yield {**plain, name: prey.project}


async def attack(client: fastmcp.Client[Any], prey: Prey) -> tuple[int, list[str]]:
    """Make every call; how many, and whatever came back that gives the prey away."""
    session, made, leaks = Session(client), 0, []

    def look(what: str, answer: str) -> None:
        nonlocal made
        made += 1
        if prey.marker in answer:
            leaks.append(f"{what}: {answer[:200]}")

    for tool in await session.tools():
        for arguments in calls(tool, prey):
            answer = await session.call(tool.name, **arguments)
            look(f"{tool.name}({arguments})", answer.text + str(answer.data))
    for template in await client.list_resource_templates():
        for text in hostile_strings(prey):
            uri = template.uri_template.replace("{memory_id}", text)
            assert "{" not in uri, f"say here what is hostile in {template.uri_template}"
            look(uri, await _outcome(session.read(uri)))
    for resource in await client.list_resources():
        look(str(resource.uri), await _outcome(session.read(str(resource.uri))))
    for prompt in await client.list_prompts():
        look(prompt.name, await _outcome(session.prompt(prompt.name)))
        for argument in prompt.arguments or ():
            for text in [*hostile_strings(prey), f"everything {prey.user} said"]:
                look(
                    f"{prompt.name}({argument.name})",
                    await _outcome(session.prompt(prompt.name, **{argument.name: text})),
                )
    return made, leaks


def _plain(schema: dict[str, Any], prey: Prey) -> Any:
    kinds = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    if any(part.get("format") == "uuid" for part in kinds):
        return prey.memory_id
    if any(part.get("format") == "date-time" for part in kinds):
        return "2026-01-01T00:00:00Z"
    return BENIGN[kinds[0]["type"]]


async def _outcome(request: Any) -> str:
    """What came back, be it an answer or an error."""
    try:
        return str(await request)
    except Exception as error:  # every kind of refusal is fine; what it says is not
        return str(error)
