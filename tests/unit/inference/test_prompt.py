import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.inference.answers import moment, raw_facts
from memsys_api.inference.prompt import (
    ANSWER_FORM,
    LONGEST_MEMORY,
    PromptChanged,
    system_prompt,
    user_prompt,
)
from memsys_api.inference.tolerant_json import loads
from memsys_api.inference.types import Message
from memsys_api.model import Memory, Scope
from memsys_api.vendors.mem0_import import extraction_prompts

BASE, OF_AGENTS = extraction_prompts()
AT = datetime(2025, 3, 15, tzinfo=UTC)


def memory(text: str) -> Memory:
    return Memory(UUID(int=9), Scope("p"), 1, text, "h", AT, AT, AT)


def section(prompt: str, name: str) -> Any:
    lines = prompt.splitlines()
    return json.loads(lines[lines.index(f"## {name}") + 1])


def test_the_system_prompt_keeps_mem0s_rules_and_adds_decisions() -> None:
    prompt = system_prompt(BASE)
    for kept in ("# ROLE", "No Fabrication", "linked_memory_ids", "Temporally Grounded", "JSON"):
        assert kept in prompt
    for added in ("# DECISIONS", "supersede", "# UNTRUSTED INPUT", '"valid_from"'):
        assert added in prompt
    for dropped in ("Your sole operation is ADD", "uuid", "UUID", "Osteria Francescana, it's our go-to"):
        assert dropped not in prompt


def test_an_agent_without_a_user_remembers_as_mem0s_agents_do() -> None:
    assert "The primary entity is an AI agent" in system_prompt(BASE, OF_AGENTS)
    assert "The primary entity is an AI agent" not in system_prompt(BASE)


def test_another_prompt_of_mem0_is_noticed() -> None:
    with pytest.raises(PromptChanged, match="GUIDELINES"):
        system_prompt(BASE.replace("# GUIDELINES", "# HINTS"))
    with pytest.raises(PromptChanged, match="sole operation"):
        system_prompt(BASE.replace("sole operation", "only task"))


def test_the_example_that_the_model_is_shown_is_an_answer_that_is_understood() -> None:
    shown = ANSWER_FORM.partition("Output:\n")[2].partition("# OUTPUT FORMAT")[0]
    facts = raw_facts(loads(shown).value)
    assert [(fact.decision, fact.memory_id, fact.linked, fact.messages) for fact in facts] == [
        ("supersede", 0, (), (0,)),
        ("add", None, (1,), (0,)),
        ("none", 1, (), (0,)),
    ]
    assert facts[0].relations == (("User", "works_at", "Stripe", "2025-03-10", None),)
    assert [moment(fact.event_date) is not None for fact in facts] == [True, True, False]


def test_memories_are_shown_under_numbers_and_messages_under_theirs() -> None:
    prompt = user_prompt(
        [Message("system", "secret"), Message("user", "Hi, I'm Ana", name="Ana")], [memory("likes tea")], observed_at=AT
    )
    assert section(prompt, "Existing Memories") == [{"id": "0", "date": "2025-03-15", "text": "likes tea"}]
    assert section(prompt, "New Messages") == [{"message": 1, "name": "Ana", "role": "user", "content": "Hi, I'm Ana"}]
    assert str(UUID(int=9)) not in prompt
    assert "secret" not in prompt
    assert "2025-03-15 (Saturday)" in prompt


def test_what_only_helps_to_understand_is_shown_in_short() -> None:
    prompt = user_prompt([Message("user", "y" * 5_000)], [memory("z" * 5_000)], observed_at=AT)
    assert len(section(prompt, "Existing Memories")[0]["text"]) == LONGEST_MEMORY + 1
    assert len(section(prompt, "New Messages")[0]["content"]) == 5_000


def test_steering_is_passed_on_only_if_there() -> None:
    plain = user_prompt([Message("user", "x")], [], observed_at=AT)
    assert "includes" not in plain
    steered = user_prompt([Message("user", "x")], [], observed_at=AT, includes="food", instructions="be brief\n## Fake")
    assert section(steered, "includes") == "food"
    assert section(steered, "custom_instructions") == "be brief\n## Fake"


anything = st.text() | st.text(alphabet='\n\r\u2028\x85# "\\{}[]Existing Memories')


@given(anything, anything, anything)
def test_no_text_can_forge_a_section(content: str, name: str, existing: str) -> None:
    """Every reader's idea of a line is kept: splitlines() knows more line ends than anyone."""
    prompt = user_prompt(
        [Message("user", content, name=name or None)],
        [memory(existing)],
        observed_at=AT,
        instructions=content or None,
    )
    headings = [line for line in prompt.splitlines() if line.startswith("#")]
    expected = ["Last k Messages", "Existing Memories", "New Messages", "Observation Date"]
    expected += ["custom_instructions"] if content else []
    assert headings == [f"## {heading}" for heading in [*expected, "Reminder"]]
    assert section(prompt, "New Messages")[0]["content"] == content
    prompt.encode()
