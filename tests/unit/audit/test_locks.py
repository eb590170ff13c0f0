"""Lock files: what is wrong with one is found, and the repository's own are in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audit.locks import LOCKS, disagreements, read

HASH = "--hash=sha256:" + "0" * 64


def test_a_package_with_its_hashes_is_read() -> None:
    lock = read(f"Some_Pkg[x]==1.2 ; python_version < '3.13' \\\n    {HASH} \\\n    {HASH}\n# a remark\n")
    assert lock.versions == {"some-pkg": {"1.2"}}
    assert not lock.problems


@pytest.mark.parametrize("line", [
    "pkg", f"pkg>=1 {HASH}", f"pkg @ https://example.com/x {HASH}", "pkg==1", "pkg==1 --hash=md5:0",
    f"pkg==1 {HASH[:-1]}", f"-r other.txt {HASH}",
])  # fmt: skip
def test_what_is_not_pinned_by_hash_is_named(line: str) -> None:
    assert len(read(line).problems) == 1


def test_two_versions_of_one_package_are_named() -> None:
    assert disagreements({"all": {"a": {"1"}, "b": {"2"}}, "part": {"a": {"1"}, "b": {"3"}}}) == [
        "part: b 3 is not among those of all"
    ]


def test_the_repository_s_own_are_in_order() -> None:
    root = Path(__file__).parents[3]
    locks = {name: read((root / name).read_text()) for name in LOCKS}
    assert {name: lock.problems for name, lock in locks.items() if lock.problems} == {}
    assert disagreements({name: lock.versions for name, lock in locks.items()}) == []
