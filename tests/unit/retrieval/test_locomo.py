"""The reader of LoCoMo files, on a small one made here: dates, sessions in order, crooked evidence."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from bench.locomo import load
from bench.recall import measure, recall

FILE = [
    {
        "sample_id": "conv-0",
        "conversation": {
            "speaker_a": "Ann",
            "speaker_b": "Bo",
            "session_10_date_time": "1:56 pm on 8 May, 2023",
            "session_10": [{"speaker": "Ann", "dia_id": "D10:1", "text": "Later", "blip_caption": "a cat"}],
            "session_2_date_time": "9:05 am on 1 February, 2023",
            "session_2": [
                {"speaker": "Bo", "dia_id": "D2:1", "text": "Hi"},
                {"speaker": "Ann", "dia_id": "D2:2", "text": "Hello"},
            ],
        },
        "qa": [
            {"question": "both?", "category": 1, "evidence": ["D2:1; D10:1"], "answer": "x"},
            {"question": "none?", "category": 4, "evidence": ["D9:9"], "answer": "x"},
            {"question": "never said?", "category": 5, "evidence": ["D2:1"]},
        ],
    }
]


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "locomo.json"
    path.write_text(json.dumps(FILE))
    (conversation,) = load(path)
    assert [(turn.id, turn.session, turn.number) for turn in conversation.turns] == [
        ("D2:1", "session_2", 0),
        ("D2:2", "session_2", 1),
        ("D10:1", "session_10", 0),
    ]
    assert conversation.turns[2].said_at == datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
    (question,) = conversation.questions
    assert question.evidence == {"D2:1", "D10:1"}
    (told,) = load(path, captions=True)
    assert told.turns[2].text == "Later [shows a cat]"

    assert recall(question, ["D2:1", "D2:2", "D10:1"], 2) == 0.5
    row = measure("half", [[(question, ["D2:1", "D2:2"])]])
    assert row.depths == (0.5, 0.5, 0.5)
