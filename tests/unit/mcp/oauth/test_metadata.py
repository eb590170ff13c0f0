"""Protected-resource metadata and challenges."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_mcp.oauth.metadata import challenge, document, resource_path


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/mcp", "/mcp"),
        ("/mcp/", "/mcp"),
        ("/sse", "/sse"),
        ("/messages/", "/sse"),
        ("/p/shop/mcp", "/p/shop/mcp"),
        ("/p/shop/messages/", "/p/shop/sse"),
        ("/messages", "/sse"),
        ("/p/messages/mcp", "/p/messages/mcp"),
        ("/p/messages-api/sse", "/p/messages-api/sse"),
        ("/p/messages/messages/", "/p/messages/sse"),
        ("/messages/mcp", None),
        ("/p/shop/messages-api", None),
        ("/", None),
        ("", None),
        ("/p/shop", None),
        ("/p//mcp", None),
        ("/p/a/b/mcp", None),
        ("/healthz", None),
    ],
)
def test_each_endpoint_is_a_resource(path: str, resource: str | None) -> None:
    assert resource_path(path) == resource


def test_scopes_are_left_out_where_they_are_not_known() -> None:
    full = document("https://m/p/shop/mcp", ["https://issuer"], ["a", "b"])
    assert full["authorization_servers"] == ["https://issuer"]
    assert full["scopes_supported"] == ["a", "b"]
    assert "scopes_supported" not in document("https://m/mcp", ["https://issuer"], [])


@given(st.text(max_size=50))
def test_nothing_breaks_out_of_a_challenge(text: str) -> None:
    header = challenge("https://m", error="invalid_token", description=text, scopes=["s"])
    assert re.fullmatch(r'Bearer (?:[a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"(?:, )?)+', header)
    assert header.count("=") >= 4
