"""Log lines."""

from __future__ import annotations

import json
import logging

from memsys_api.logs import JsonFormatter, request_id


def _line(**extra: object) -> dict[str, object]:
    record = logging.makeLogRecord(
        {"name": "n", "levelname": "INFO", "levelno": 20, "msg": "did %s", "args": ("it",)} | extra
    )
    line: dict[str, object] = json.loads(JsonFormatter().format(record))
    return line


def test_a_line_is_one_json_object_with_what_was_given() -> None:
    line = _line(count=3, when=object)
    assert (line["level"], line["logger"], line["message"], line["count"]) == ("info", "n", "did it", 3)
    assert "request_id" not in line
    assert str(line["time"]).endswith("+00:00")


def test_a_line_carries_the_request_it_belongs_to() -> None:
    token = request_id.set("abc")
    try:
        assert _line()["request_id"] == "abc"
    finally:
        request_id.reset(token)


def test_an_error_is_told_with_its_trace() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        line = _line(exc_info=(type(error), error, error.__traceback__))
    assert line["error"][0] == "ValueError"
    assert "test_an_error_is_told_with_its_trace" in line["error"][1]
    assert "broken" not in str(line), "a message may quote what a client sent"
