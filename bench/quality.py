"""How much of a LoCoMo file is junk or said twice: ``python -m bench.quality --data FILE``.

As inference sees it before it asks any model. Junk is what :func:`memsys_api.inference.trivia.holds_no_fact` would not
even show to one; a duplicate is a turn whose fingerprint an earlier turn has. *lost* counts junk that a question names
as its evidence: it must stay near nothing. Without a language model none of this is applied: everything is stored.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.locomo import Conversation, load
from memsys_api.inference.fingerprint import fingerprint
from memsys_api.inference.trivia import holds_no_fact
from memsys_api.inference.types import Message


def table(conversations: Sequence[Conversation]) -> str:
    """Return the shares as a Markdown table."""
    lines = ["| conversation | turns | junk | lost | duplicates |", "| --- | --- | --- | --- | --- |"]
    for conversation in conversations:
        junk = [
            turn
            for place, turn in enumerate(conversation.turns)
            if holds_no_fact([Message("user", turn.text, turn.speaker)], answers_something=place > 0)
        ]
        evidence = {turn for question in conversation.questions for turn in question.evidence}
        lost = sum(turn.id in evidence for turn in junk)
        turns = len(conversation.turns)
        duplicates = turns - len({fingerprint(turn.text) for turn in conversation.turns})
        lines.append(
            f"| {conversation.name} | {turns} | {len(junk)} ({len(junk) / turns:.1%}) | {lost} | "
            f"{duplicates} ({duplicates / turns:.1%}) |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a LoCoMo file; not part of this project")
    print(table(load(parser.parse_args().data)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
