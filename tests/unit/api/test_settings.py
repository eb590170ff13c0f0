"""Settings: where they come from, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from memsys_api import settings
from memsys_api.settings import Settings, SettingsError

COMPLETE = {
    "DATABASE_URL": "postgresql://memsys_app:p@db:5432/memsys",
    "MEMSYS_ADMIN_KEY": "a-key-of-enough-length",
}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.validation_alias), raising=False)
    monkeypatch.delenv("MEMSYS_CONFIG", raising=False)
    monkeypatch.setenv("MEMSYS_SECRETS_DIR", str(tmp_path / "absent"))


def _set(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in (COMPLETE | values).items():
        monkeypatch.setenv(name, value)


def test_every_setting_has_a_name_in_capitals_and_a_description() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert isinstance(field.validation_alias, str), name
        assert field.validation_alias == field.validation_alias.upper(), name


def test_the_least_that_is_needed_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch)
    loaded = settings.load()
    assert loaded.migration_url == loaded.serving_url == COMPLETE["DATABASE_URL"]
    assert (loaded.port, loaded.graph_store, loaded.embedder_provider) == (8000, "none", "builtin")


def test_nothing_set_names_everything_needed_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        settings.load()
    for name in COMPLETE:
        assert name in str(refused.value)


@pytest.mark.parametrize(("name", "value", "remedy"), [
    ("DATABASE_URL", "mysql://x", "postgresql://user:password@host:5432/database"),
    ("SUPABASE_URL", "https://abc.supabase.co", "connection string"),
    ("VECTOR_STORE", "milvus", "pgvector"),
    ("VECTOR_STORE", "qdrant", "VECTOR_STORE_URL: is not set"),
    ("GRAPH_STORE", "memgraph", "neo4j"),
    ("VECTOR_PRECISION", "float16", "halfvec"),
    ("MEMSYS_ADMIN_KEY", "short", "at least 16"),
    ("MEMSYS_ADMIN_KEY", "short           \n", "at least 16"),
    ("MEMSYS_ADMIN_KEY", "a-key-of-enough-length of two", "no header carries"),
    ("MEMSYS_ADMIN_KEY", "“a-key-of-enough-length”", "no header carries"),
    ("MEMSYS_PORT", "99999", "65535"),
    ("EMBEDDER_DIMENSIONS", "many", "integer"),
])  # fmt: skip
def test_a_wrong_value_names_the_setting_and_the_remedy_but_not_the_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, remedy: str
) -> None:
    _set(monkeypatch, **{name: value})
    with pytest.raises(SettingsError) as refused:
        settings.load()
    assert name in str(refused.value)
    assert remedy in str(refused.value)
    assert "a-key-of-enough-length" not in str(refused.value)


@pytest.mark.parametrize("where", ["environment", "yaml"])
def test_white_space_around_the_admin_key_is_none_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    _set(monkeypatch)
    if where == "environment":
        monkeypatch.setenv("MEMSYS_ADMIN_KEY", " a-key-of-enough-length\r\n")
    else:
        monkeypatch.delenv("MEMSYS_ADMIN_KEY")
        (tmp_path / "memsys.yaml").write_text("memsys_admin_key: |\n  a-key-of-enough-length\n")
        monkeypatch.setenv("MEMSYS_CONFIG", str(tmp_path / "memsys.yaml"))
    key = settings.load().admin_key
    assert key is not None
    assert key.get_secret_value() == "a-key-of-enough-length"


@pytest.mark.parametrize("name", ["EMBEDDER_API_KEY", "LLM_API_KEY", "RERANKER_API_KEY", "VECTOR_STORE_API_KEY"])
def test_nor_is_it_around_a_provider_s_key(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    _set(monkeypatch, **{name: "sk-word\n"})
    assert getattr(settings.load(), name.lower()).get_secret_value() == "sk-word"


def test_a_graph_needs_its_address_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, GRAPH_STORE="neo4j")
    with pytest.raises(SettingsError, match=r"NEO4J_URI[\s\S]*NEO4J_PASSWORD"):
        settings.load()


def test_a_graph_s_address_must_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, GRAPH_STORE="neo4j", NEO4J_URI="http://neo4j:7474", NEO4J_PASSWORD="p")
    with pytest.raises(SettingsError, match="NEO4J_URI: expected bolt://"):
        settings.load()


def test_supabase_s_connection_string_serves_as_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://postgres.ref:p@aws-0.pooler.supabase.com:5432/postgres"
    _set(monkeypatch, SUPABASE_URL=url)
    monkeypatch.delenv("DATABASE_URL")
    assert settings.load().serving_url == url


def test_the_environment_goes_before_secret_files_and_those_before_the_configuration_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "database_url").write_text("postgresql://from-secret/db\n")
    (secrets / "memsys_admin_key").write_text("from-the-secret-file\n")
    (secrets / "neo4j_user").write_text("from-secret")
    config = tmp_path / "memsys.yaml"
    config.write_text("database_url: postgresql://from-file/db\nneo4j_user: from-file\nmemsys_port: 9000\n")
    monkeypatch.setenv("MEMSYS_SECRETS_DIR", str(secrets))
    monkeypatch.setenv("MEMSYS_CONFIG", str(config))
    monkeypatch.setenv("NEO4J_USER", "from-environment")
    loaded = settings.load()
    assert loaded.serving_url == "postgresql://from-secret/db"
    assert loaded.admin_key
    assert loaded.admin_key.get_secret_value() == "from-the-secret-file"
    assert (loaded.neo4j_user, loaded.port) == ("from-environment", 9000)


@pytest.mark.parametrize(("content", "message"), [
    ("databse_url: x", "databse_url"),
    ("- a\n- b", "mapping"),
    ("a: [", "is not YAML"),
])  # fmt: skip
def test_a_configuration_file_that_cannot_be_meant_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, message: str
) -> None:
    config = tmp_path / "memsys.yaml"
    config.write_text(content)
    _set(monkeypatch, MEMSYS_CONFIG=str(config))
    with pytest.raises(SettingsError, match=message):
        settings.load()


@pytest.mark.parametrize("written", [
    "database_url: postgresql://u:hunter2@db/memsys\n  port: 1",
    "database_url: 'hunter2",
    "database_url: *hunter2",
    "database_url: !hunter2 x",
    'database_url: "hunter2\\q"',
    "hunter2: @hunter2",
    "database_url: hunter2\x00",
])  # fmt: skip
def test_a_configuration_file_that_is_no_yaml_is_placed_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(written)
    _set(monkeypatch, MEMSYS_CONFIG=str(path))
    with pytest.raises(SettingsError) as refused:
        settings.load()
    assert f"{path} is not YAML" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "\x00" in written or "line " in str(refused.value)


@pytest.mark.parametrize("value", ["{", "[1]", "7", "{'seed': 7}", "x" * 40])
def test_options_that_are_no_json_object_are_named_with_all_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    _set(monkeypatch, LLM_OPTIONS=value, MEMSYS_PORT="99999")
    with pytest.raises(SettingsError) as refused:
        settings.load()
    assert "LLM_OPTIONS: expected a JSON object" in str(refused.value)
    assert "MEMSYS_PORT" in str(refused.value)
    assert value not in str(refused.value) or len(value) < 3


def test_options_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, LLM_OPTIONS='{"seed": 7}')
    assert settings.load().llm_options == {"seed": 7}


def test_secrets_do_not_print(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, NEO4J_PASSWORD="hidden-one", LLM_API_KEY="hidden-two", EMBEDDER_API_KEY="hidden-three")
    shown = repr(settings.load())
    for secret in ("hidden", "a-key-of-enough-length", "memsys_app:p@"):
        assert secret not in shown


@pytest.mark.parametrize(("ledger", "backups"), [("30", None), ("30", "30"), ("30", "90")])
def test_no_erasure_is_forgotten_before_the_backups_that_it_may_have_to_be_replayed_on(
    monkeypatch: pytest.MonkeyPatch, ledger: str, backups: str | None
) -> None:
    _set(monkeypatch, MEMSYS_ERASURE_LEDGER_RETENTION_DAYS=ledger)
    if backups:
        monkeypatch.setenv("MEMSYS_BACKUP_RETENTION_DAYS", backups)
    with pytest.raises(SettingsError, match="MEMSYS_ERASURE_LEDGER_RETENTION_DAYS: expected more days"):
        settings.load()
    monkeypatch.setenv("MEMSYS_BACKUP_RETENTION_DAYS", "29")
    assert settings.load().erasure_ledger_retention_days == 30
