"""Cut Markdown and plain text into passages: by heading, then by paragraph."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

SIZE = 1500  # characters a passage may have

HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*$")
FENCE = re.compile(r"\s*(```|~~~)")


@dataclass(frozen=True, slots=True)
class Piece:
    """A passage of a text, under the headings that lead to it."""

    heading: str
    text: str


def cut(text: str, title: str) -> list[Piece]:
    """The text's passages in order; `title` stands for a heading where there is none."""
    return [
        Piece(heading, passage)
        for heading, section in _sections(text, title)
        for passage in _pack(section)
    ]


def _sections(text: str, title: str) -> Iterator[tuple[str, str]]:
    trail: list[tuple[int, str]] = []  # level and words of the open headings
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= FENCE.match(line) is not None
        found = None if fenced else HEADING.match(line)
        if found is None:
            lines.append(line)
            continue
        yield _name(trail, title), "\n".join(lines)
        level = len(found[1])
        trail = [*(open_one for open_one in trail if open_one[0] < level), (level, found[2])]
        lines = []
    yield _name(trail, title), "\n".join(lines)


def _name(trail: list[tuple[int, str]], title: str) -> str:
    return " / ".join(words for _, words in trail) or title


def _pack(section: str) -> Iterator[str]:
    packed = ""
    for paragraph in re.split(r"\n\s*\n", section):
        for part in _fit(paragraph.strip()):
            if packed and len(packed) + len(part) + 2 > SIZE:
                yield packed
                packed = part
            else:
                packed = f"{packed}\n\n{part}" if packed else part
    if packed:
        yield packed


def _fit(paragraph: str) -> list[str]:
    if len(paragraph) <= SIZE:
        return [paragraph] if paragraph else []
    return textwrap.wrap(paragraph, SIZE, break_on_hyphens=False)
