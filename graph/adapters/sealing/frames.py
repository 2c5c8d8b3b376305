"""Where a value of msgpack ends, for lists of which some rows are sealed and some are not."""

FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
FIXED |= {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
EXTENDED = (0xC7, 0xC8, 0xC9)  # with a byte for the type
COUNTED = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}  # bytes, values for each


def end_of(data: bytes, at: int) -> int:
    """The position after the value that begins at `at`; raises ValueError where none does."""
    left = 1
    while left:
        left -= 1
        size, values, at = _head(data, at)
        at += size
        left += values
    return at


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """How many bytes and values belong to what begins here, and where they do."""
    first, at = data[at], at + 1
    if first <= 0x7F or first >= 0xE0:
        return 0, 0, at
    if first <= 0x9F:
        return 0, (first & 15) * (2 if first <= 0x8F else 1), at
    if first <= 0xBF:
        return first & 31, 0, at
    if first in FIXED:
        return FIXED[first], 0, at
    if first in SIZED:
        start = at + SIZED[first]
        return int.from_bytes(data[at:start]) + (first in EXTENDED), 0, start
    if first in COUNTED:
        width, each = COUNTED[first]
        return 0, int.from_bytes(data[at : at + width]) * each, at + width
    raise ValueError(f"no value of msgpack begins with {first:#x}")
