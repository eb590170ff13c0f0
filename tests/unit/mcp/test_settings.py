from pathlib import Path

import pytest
from pydantic import ValidationError

from memsys_mcp.__main__ import main
from memsys_mcp.projects import Isolation
from memsys_mcp.settings import Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)
    monkeypatch.delenv("MEMSYS_CONFIG", raising=False)
    monkeypatch.setenv("MEMSYS_SECRETS_DIR", str(tmp_path / "none"))


def test_the_defaults_serve_this_machine_alone_and_ask_for_a_project():
    settings = Settings()
    assert (settings.host, settings.port, settings.isolation) == ("127.0.0.1", 8080, Isolation.AUTO)
    assert settings.api_key is None


def test_environment_beats_secret_file_beats_yaml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "memsys_api_key").write_text("from-file\n")
    (tmp_path / "memsys_api_url").write_text("http://from-file:8000")
    config = tmp_path / "config.yaml"
    config.write_text(
        "MEMSYS_API_URL: http://from-yaml:8000\nMEMSYS_PORT: 9000\nMEMSYS_MCP_ALLOWED_HOSTS: a.org,b.org\n"
    )
    monkeypatch.setenv("MEMSYS_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("MEMSYS_CONFIG", str(config))
    monkeypatch.setenv("MEMSYS_API_URL", "http://from-env:8000")
    settings = Settings()
    assert settings.api_url == "http://from-env:8000"
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "from-file"
    assert settings.port == 9000
    assert settings.allowed_hosts == ("a.org", "b.org")
    assert "from-file" not in repr(settings)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read"),
        ("MEMSYS_API_KEY: 'secret-word", "is not YAML at line 1, column "),
        ("MEMSYS_API_KEY: secret-word: x", "is not YAML at line 1, column "),
        ("- secret-word", "must hold a mapping"),
        ("memsys_api_kee: secret-word", "names unknown settings: MEMSYS_API_KEE"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_without_what_it_holds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, says: str
):
    config = tmp_path / "config.yaml"
    if content is not None:
        config.write_text(content)
    monkeypatch.setenv("MEMSYS_CONFIG", str(config))
    monkeypatch.setattr("sys.argv", ["memsys-mcp"])
    with pytest.raises(SystemExit, match="2"):
        main()
    said = capsys.readouterr().err
    assert said.startswith("memsys-mcp: MEMSYS_CONFIG: ")
    assert str(config) in said
    assert says in said
    assert "secret-word" not in said


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("MEMSYS_MCP_ISOLATION", "perhaps", "'auto', 'manual' or 'global'"),
        ("MEMSYS_MCP_PROJECT", "No Name", "use 1 to 100 of a-z"),
        ("MEMSYS_PORT", "99999", "less than or equal to 65535"),
        ("MEMSYS_MCP_TIMEOUT_SECONDS", "0", "greater than 0"),
        ("MEMSYS_MCP_TRUSTED_PROXIES", "10.42.0.0/16,*", "'*' does not appear to be an IPv4 or IPv6 network; give"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert name in str(caught.value)
    assert says in str(caught.value)


KEYS = ["MEMSYS_API_KEY", "MEMSYS_MCP_API_KEY"]


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("where", ["environment", "file", "yaml"])
def test_white_space_around_a_key_is_none_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, where: str):
    if where == "environment":
        monkeypatch.setenv(name, " msk_word\r\n")
    elif where == "file":
        (tmp_path / name.lower()).write_text(" msk_word\r\n")
        monkeypatch.setenv("MEMSYS_SECRETS_DIR", str(tmp_path))
    else:
        (tmp_path / "config.yaml").write_text(f"{name}: |\n  msk_word\n")
        monkeypatch.setenv("MEMSYS_CONFIG", str(tmp_path / "config.yaml"))
    settings = Settings()
    key = settings.api_key if name == "MEMSYS_API_KEY" else settings.service_key
    assert key is not None
    assert key.get_secret_value() == "msk_word"


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "is empty; give the key, or unset it"),
        (" \n", "is empty; give the key, or unset it"),
        ("msk_secret word", "copy it anew"),
        ("“msk_secret”", "copy it anew"),
        ("msk_secret\n\nmore", "copy it anew"),
    ],
)
def test_a_key_that_is_none_ends_the_start_with_the_setting_and_without_the_key(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    says: str,
):
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["memsys-mcp", "--stdio"])
    monkeypatch.setattr("memsys_mcp.__main__.serve_stdio", lambda _: pytest.fail("it started"))
    with pytest.raises(SystemExit, match="2"):
        main()
    said = capsys.readouterr().err
    assert said.startswith(f"memsys-mcp: {name}: ")
    assert says in said
    assert "msk_secret" not in said
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "msk_secret" not in str(caught.value)


def test_a_fixed_project_in_a_mode_that_would_ignore_it_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MEMSYS_MCP_PROJECT", "shop")
    with pytest.raises(ValidationError, match="set MEMSYS_MCP_ISOLATION=manual"):
        Settings()
    monkeypatch.setenv("MEMSYS_MCP_ISOLATION", "manual")
    assert Settings().project == "shop"


OAUTH = {
    "MEMSYS_MCP_AUTH": "keys+oauth",
    "MEMSYS_MCP_API_KEY": "msk_own",
    "MEMSYS_MCP_PUBLIC_URL": "https://memory.example.org/",
    "MEMSYS_MCP_OAUTH_ISSUER": "https://issuer.example.org",
}


def test_tokens_are_taken_where_all_that_they_need_is_set(monkeypatch: pytest.MonkeyPatch):
    for name, value in OAUTH.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.public_url == "https://memory.example.org"
    assert settings.oauth_issuers == ("https://issuer.example.org",)
    assert "msk_own" not in repr(settings)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"MEMSYS_MCP_API_KEY": None}, "MEMSYS_MCP_API_KEY is not set"),
        ({"MEMSYS_MCP_PUBLIC_URL": None}, "MEMSYS_MCP_PUBLIC_URL is not set"),
        ({"MEMSYS_MCP_OAUTH_ISSUER": None}, "MEMSYS_MCP_OAUTH_ISSUER is not set"),
        ({"MEMSYS_MCP_AUTH": "keys"}, "tokens are not accepted"),
        ({"MEMSYS_MCP_AUTH": "none"}, "none-i-understand-that-anyone-may-read-and-write"),
        ({"MEMSYS_MCP_PUBLIC_URL": "memory.example.org"}, "is not a scheme and a host"),
        ({"MEMSYS_MCP_PUBLIC_URL": "https://memory.example.org/base"}, "is not a scheme and a host"),
        ({"MEMSYS_MCP_OAUTH_ISSUER": "http://issuer.example.org"}, "must be https"),
        ({"MEMSYS_MCP_OAUTH_JWKS_URL": "http://issuer.example.org/k"}, "must be https"),
        ({"MEMSYS_MCP_OAUTH_ALGORITHMS": "RS256,HS256"}, "HS256: not among"),
        ({"MEMSYS_MCP_OAUTH_ALGORITHMS": "none"}, "none: not among"),
        ({"MEMSYS_MCP_OAUTH_SCOPE_PATTERN": "memsys:{right}"}, "must hold"),
        (
            {"MEMSYS_MCP_OAUTH_ISSUER": "https://a.org,https://b.org", "MEMSYS_MCP_OAUTH_JWKS_URL": "https://a.org/k"},
            "is for one issuer",
        ),
    ],
)
def test_half_a_configuration_of_tokens_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], says: str
):
    for name, value in (OAUTH | changes).items():
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert says in str(refused.value)
