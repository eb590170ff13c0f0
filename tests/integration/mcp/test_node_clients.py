"""Clients and judges from npm: the MCP Inspector, and the official conformance suite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastmcp
import pytest

from . import npm, page
from .clients import Target, http
from .processes import served
from .relay import relay

APPLIED = (
    "server-initialize",
    "ping",
    "logging-set-level",
    "tools-list",
    "resources-list",
    "prompts-list",
    "dns-rebinding-protection",
)
TOOL = "calls a tool of the suite's own sample server by its name; there is none of that name here"
RESOURCE = "reads a resource of the suite's own sample server by its address"
PROMPT = "gets a prompt of the suite's own sample server by its name"
SUBSCRIPTIONS = "subscriptions are not offered, and not among the capabilities that the server states"
COMPLETION = "completion is not offered, and not among the capabilities that the server states"
SESSIONS = "needs a session of streamable HTTP; the server keeps none, so that replicas and restarts are harmless"
#: Why each of the suite's other scenarios says nothing about this server.
NOT_APPLIED = {
    "completion-complete": COMPLETION,
    "tools-call-simple-text": TOOL,
    "tools-call-image": TOOL,
    "tools-call-audio": TOOL,
    "tools-call-embedded-resource": TOOL,
    "tools-call-mixed-content": TOOL,
    "tools-call-with-logging": TOOL,
    "tools-call-error": TOOL,
    "tools-call-with-progress": TOOL,
    "tools-call-sampling": TOOL,
    "tools-call-elicitation": TOOL,
    "json-schema-2020-12": TOOL,
    "elicitation-sep1034-defaults": TOOL,
    "elicitation-sep1330-enums": TOOL,
    "server-sse-polling": TOOL,
    "server-sse-multiple-streams": SESSIONS,
    "resources-read-text": RESOURCE,
    "resources-read-binary": RESOURCE,
    "resources-templates-read": RESOURCE,
    "resources-subscribe": SUBSCRIPTIONS,
    "resources-unsubscribe": SUBSCRIPTIONS,
    "prompts-get-simple": PROMPT,
    "prompts-get-with-args": PROMPT,
    "prompts-get-embedded-resource": PROMPT,
    "prompts-get-with-image": PROMPT,
}


@pytest.fixture(scope="session")
def programs() -> Path:
    return npm.installed("mcp")


@pytest.mark.parametrize("transport", ["http", "sse"])
def test_the_inspector_lists_and_calls_every_tool(programs: Path, target: Target, transport: str, tmp_path: Path):
    url = f"{target.mcp_url}/p/{target.project}/{'mcp' if transport == 'http' else 'sse'}"
    use_every_tool(programs, url, transport, target.key, tmp_path)


def use_every_tool(
    programs: Path, url: str, transport: str, key: str, folder: Path, variables: Mapping[str, str] | None = None
) -> None:
    """With the Inspector, from listing the tools to deleting the memory that was added."""
    connection = (url, "--transport", transport, "--header", f"Authorization: Bearer {key}")

    def inspect(*arguments: str) -> dict[str, Any]:
        command = ("mcp-inspector", "--cli", *connection, *arguments)
        written = npm.run(programs, *command, directory=folder, home=folder, variables=variables)
        answer: dict[str, Any] = json.loads(written)
        return answer

    def call(tool: str, **arguments: str) -> dict[str, Any]:
        given = [part for name, value in arguments.items() for part in ("--tool-arg", f"{name}={value}")]
        answer = inspect("--method", "tools/call", "--tool-name", tool, *given)
        assert not answer.get("isError"), answer
        content: dict[str, Any] = answer["structuredContent"]
        return content

    tools = {tool["name"] for tool in inspect("--method", "tools/list")["tools"]}
    identity = call("add_memory", text="Ana prefers tabs.")["results"][0]["id"]
    assert call("search_memories", query="What does Ana like?")["results"][0]["id"] == identity
    assert [item["id"] for item in call("list_memories")["results"]] == [identity]
    assert call("update_memory", memory_id=identity, text="Ana prefers spaces.")["version"] == 2
    assert call("delete_memory", memory_id=identity)["event"] == "DELETE"
    assert tools == {"add_memory", "search_memories", "list_memories", "update_memory", "delete_memory"}


def test_what_the_page_says_to_type_reaches_the_tools(programs: Path, target: Target, tmp_path: Path):
    (tmp_path / "node_modules").symlink_to(programs.parent)  # where npx looks first
    script = tmp_path / "typed.sh"
    script.write_text(f"set -e\n{page.typed_under('**MCP Inspector**', target.project)}")
    variables = {"MEMSYS_MCP_URL": target.mcp_url, "MEMSYS_API_KEY": target.key}
    written = npm.run(programs, "bash", str(script), directory=tmp_path, home=tmp_path, variables=variables)
    assert '"search_memories"' in written
    assert '"structuredContent"' in written


def test_every_scenario_of_the_suite_is_applied_or_not_for_a_reason(programs: Path, tmp_path: Path):
    listed = npm.run(programs, "conformance", "list", "--server", directory=tmp_path, home=tmp_path)
    scenarios = [line.split()[1] for line in listed.splitlines() if line.startswith("  - ")]
    assert sorted(scenarios) == sorted([*APPLIED, *NOT_APPLIED])


async def test_what_the_server_does_not_offer_it_does_not_claim(target: Target):
    async with fastmcp.Client(http(target), mode="legacy") as client:
        stated = client.initialize_result.capabilities
    assert stated.completions is None, COMPLETION
    assert stated.resources is not None
    assert not stated.resources.subscribe, SUBSCRIPTIONS
    assert stated.logging is not None, "the suite's scenario of log levels is applied"


@pytest.mark.parametrize("scenario", APPLIED)
def test_the_conformance_suite_is_content(programs: Path, target: Target, scenario: str, tmp_path: Path):
    with served(relay(target.mcp_url, target.key)) as url:
        endpoint = f"{url}/p/{target.project}/mcp"
        command = ("conformance", "server", "--url", endpoint, "--scenario", scenario, "--output-dir", str(tmp_path))
        npm.run(programs, *command, directory=tmp_path, home=tmp_path)
    [written] = tmp_path.glob("*/checks.json")
    checks = json.loads(written.read_text())
    assert checks, "a scenario without a check proves nothing"
    assert {check["status"] for check in checks} <= {"SUCCESS", "INFO"}, checks
    assert any(check["status"] == "SUCCESS" for check in checks)
