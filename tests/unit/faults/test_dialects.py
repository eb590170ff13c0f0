"""A relay that knows each message must hold back nothing that is whole, however the bytes come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.support.dialects import Bolt, Dialect, Direction, Postgres

HELLO, LOGON, RESET = (b"\x00\x02\xb0" + bytes([kind]) + b"\x00\x00" for kind in (0x01, 0x6A, 0x0F))
SUCCESS = b"\x00\x02\xb0\x70\x00\x00"
OFFER = bytes.fromhex("6060b017 000001ff 00080805 00020404 00000003")
#: A server that lists what it speaks, and one that chooses itself.
BOLT: dict[str, list[tuple[Direction, bytes]]] = {
    "manifest": [
        (">", OFFER),
        ("<", bytes.fromhex("000001ff 02 00080805 00020404 00")),
        (">", bytes.fromhex("00000805 00")),
        (">", HELLO + LOGON),
        ("<", SUCCESS + SUCCESS),
        (">", RESET),
        ("<", SUCCESS),
    ],
    "version 1": [(">", OFFER), ("<", bytes.fromhex("00000405")), (">", HELLO), ("<", SUCCESS), (">", RESET)],
}
POSTGRES: list[tuple[Direction, bytes]] = [
    (">", b"\x00\x00\x00\x08\x00\x03\x00\x00"),
    ("<", b"R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"),
    (">", b"Q\x00\x00\x00\x0dSELECT 1\x00"),
    ("<", b"C\x00\x00\x00\x0dSELECT 1\x00Z\x00\x00\x00\x05I"),
]


def relayed(dialect: Dialect, said: list[tuple[Direction, bytes]], cuts: set[int]) -> list[tuple[Direction, bytes]]:
    """What comes out when each turn is cut at these places, turn by turn."""
    out = []
    for direction, data in said:
        ends = sorted({cut for cut in cuts if 0 < cut < len(data)} | {len(data)})
        parts = [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
        out.append((direction, b"".join(message.raw for part in parts for message in dialect.read(direction, part))))
    return out


@given(cuts=st.sets(st.integers(1, 24)), server=st.sampled_from(sorted(BOLT)))
def test_bolt_is_relayed_whole_however_it_is_cut(cuts: set[int], server: str) -> None:
    assert relayed(Bolt(), BOLT[server], cuts) == BOLT[server]


@given(cuts=st.sets(st.integers(1, 24)))
def test_postgresql_is_relayed_whole_however_it_is_cut(cuts: set[int]) -> None:
    assert relayed(Postgres(), POSTGRES, cuts) == POSTGRES
