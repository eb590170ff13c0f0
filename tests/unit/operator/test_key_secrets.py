"""Which secret of a MemoryKey is in force. Pure."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_operator import names
from memsys_operator.errors import Rejected
from memsys_operator.keys import issue as issues
from memsys_operator.keys.issue import Issue, settle
from memsys_operator.keys.spec import MemoryKey, key_id, parse

from .support import memory_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVICES = {"api": "http://m-api.n.svc:8000"}


def typed(**spec: Any) -> MemoryKey:
    return parse(memory_key(**spec))


@given(
    every=st.integers(2, 100),
    overlap=st.integers(0, 200),
    hours=st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=20),
)
def test_the_secret_before_is_accepted_for_the_overlap_and_no_longer(
    every: int, overlap: int, hours: list[tuple[int, bool]]
) -> None:
    made = count()
    rotation = {"every": f"{every}h", "overlap": f"{min(overlap, every - 1)}h"}
    now, held, asked = NOW, None, 0
    for passed, on_demand in hours:
        now += timedelta(hours=passed)
        asked += on_demand
        key = parse(memory_key(annotations={names.ROTATE_ANNOTATION: str(asked)}, rotation=rotation))
        before, held = held, settle(key, held, now, lambda: f"s{next(made)}")
        accepted = [s["sha256"] for s in issues.declaration(key, held, now)["secrets"]]
        assert accepted[0] == held.sha256
        assert len(accepted) <= issues.MOST_SECRETS
        assert now < held.issued_at + timedelta(hours=every)
        if before is not None and before.secret != held.secret:
            assert (before.sha256 in accepted) == (min(overlap, every - 1) > 0)
        assert all(p.expires_at <= held.issued_at + key.spec.rotation.overlap for p in held.previous)
        assert settle(key, held, now, lambda: "again") == held, "a request is answered once"


def test_a_secret_survives_its_manifest() -> None:
    key = typed(rotation={"overlap": "2h"})
    before = Issue("a" * 32, NOW)
    asked = parse(memory_key(annotations={names.ROTATE_ANNOTATION: "1"}, rotation={"overlap": "2h"}))
    held = settle(asked, before, NOW, lambda: "b" * 32)
    assert issues.read(key, issues.secret_manifest(key, held, SERVICES)) == held


@pytest.mark.parametrize("value", ["", "msk_other_secret", "garbage", f"msk_{key_id('uid-of-k')}_"])
def test_an_edited_secret_is_no_key(value: str) -> None:
    key = typed()
    manifest = issues.secret_manifest(key, Issue("a" * 32, NOW), SERVICES)
    manifest["data"]["key"] = base64.b64encode(value.encode()).decode()
    assert issues.read(key, manifest) is None


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"rotation": {"every": "1w"}}, "spec.rotation.every"),
        ({"rotation": {"every": "1h", "overlap": "1h"}}, "overlap must be shorter"),
        ({"rotation": {"every": "9999999d"}}, "spec.rotation.every: expected at most 3650d"),
        ({"rotation": {"overlap": "9999999d"}}, "spec.rotation.overlap: expected at most 3650d"),
        ({"rights": ["root"]}, "spec.rights"),
        ({"colour": "red"}, "spec.colour"),
    ],
)
def test_what_cannot_be_read_is_rejected_by_name(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(Rejected, match=field):
        parse(memory_key(**spec))


def test_a_resource_made_anew_is_another_key() -> None:
    assert key_id("one") != key_id("other")
    assert len(key_id("one")) == 12
    assert key_id("one").isalnum()
