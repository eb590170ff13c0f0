import pytest

from memsys_mcp import guard


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "LOCALHOST.",
        "127.0.0.1:18080",
        "10.42.0.7:8080",
        "[::1]:8080",
        "memory-mcp",
        "memory-mcp:8080",
        "memory-mcp.default.svc",
        "memory-mcp.default.svc.cluster.local:8080",
    ],
)
def test_names_no_stranger_can_own_are_always_good(host: str):
    assert guard.host_allowed(host, ())


@pytest.mark.parametrize(
    "host",
    ["", "evil.com", "localhost.evil.com", "127.0.0.1.evil.com", "evil.com:8080", "svc.evil.com", "x.svc.evil.com"],
)
def test_every_other_name_has_to_be_allowed(host: str):
    assert not guard.host_allowed(host, ())
    assert not guard.host_allowed(host, ("memory.example.org",))


def test_allowed_names_may_hold_a_wildcard_and_a_port():
    assert guard.host_allowed("memory.example.org:443", ("memory.example.org",))
    assert guard.host_allowed("Memory.example.org", ("*.example.org:8080",))
    assert not guard.host_allowed("example.org.evil.com", ("*.example.org",))


@pytest.mark.parametrize(
    ("origin", "host", "good"),
    [
        (None, "localhost:8080", True),
        ("http://localhost:6274", "127.0.0.1:8080", True),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("https://memory.example.org", "memory.example.org", True),
        ("http://evil.com", "127.0.0.1:8080", False),
        ("http://localhost", "memory.example.org", False),
        ("http://10.0.0.9", "127.0.0.1:8080", False),
        ("null", "127.0.0.1:8080", False),
        ("", "127.0.0.1:8080", False),
        ("file://", "127.0.0.1:8080", False),
        ("http://[", "127.0.0.1:8080", False),
        ("https://app.example.org", "127.0.0.1:8080", True),
    ],
)
def test_origins(origin: str | None, host: str, good: bool):
    assert guard.origin_allowed(origin, host, ("https://*.example.org",)) is good
