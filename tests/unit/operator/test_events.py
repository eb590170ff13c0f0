from __future__ import annotations

from memsys_operator.events import Notice, transitions


def condition(kind: str, status: str, reason: str = "Why", message: str = "because") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def test_nothing_is_told_of_what_stays() -> None:
    same = [condition("Ready", "True"), condition("Stalled", "False")]
    assert transitions(same, same) == []


def test_a_start_is_told_when_it_ends() -> None:
    starting = [condition("Ready", "False"), condition("Stalled", "False"), condition("GraphSynced", "Unknown")]
    assert transitions([], starting) == []
    assert transitions(starting, [condition("Ready", "True")]) == [Notice("Normal", "Ready", "because")]


def test_bad_news_are_warnings_with_their_reason() -> None:
    before = [condition("Ready", "True"), condition("Stalled", "False"), condition("GraphSynced", "True")]
    after = [
        condition("Ready", "False", "CrashLoopBackOff"),
        condition("Stalled", "True", "CredentialsLost"),
        condition("GraphSynced", "False", "Parked"),
    ]
    assert [(n.kind, n.reason) for n in transitions(before, after)] == [
        ("Warning", "CrashLoopBackOff"), ("Warning", "CredentialsLost"), ("Warning", "Parked"),
    ]  # fmt: skip


def test_a_recovery_is_good_news() -> None:
    before = [condition("Stalled", "True"), condition("GraphSynced", "False")]
    after = [condition("Stalled", "False"), condition("GraphSynced", "True")]
    assert [(n.kind, n.reason) for n in transitions(before, after)] == [
        ("Normal", "Resumed"),
        ("Normal", "GraphSynced"),
    ]


def test_another_reason_to_be_stalled_is_told_again() -> None:
    before, after = [condition("Stalled", "True", "A")], [condition("Stalled", "True", "B")]
    assert [n.reason for n in transitions(before, after)] == ["B"]


def test_a_first_look_at_the_graph_is_no_news_unless_it_is_bad() -> None:
    unknown = [condition("GraphSynced", "Unknown")]
    assert transitions(unknown, [condition("GraphSynced", "True")]) == []
    assert [n.reason for n in transitions(unknown, [condition("GraphSynced", "False", "Parked")])] == ["Parked"]


def test_conditions_of_parts_are_not_told() -> None:
    assert transitions([condition("APIReady", "True")], [condition("APIReady", "False")]) == []
