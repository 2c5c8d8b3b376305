"""How a model without a mind judges notes: by the words they share, and numbers that differ."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from infra.local.words import covers

Json = dict[str, Any]
NUMBER = re.compile(r"\d[\d.,]*\d|\d")


def weights(notes: Mapping[int, str], words: Sequence[str]) -> list[Json]:
    """Strong is what has two words of the question, weak what has one."""
    shared = {n: sum(covers(text, word) for word in words) for n, text in notes.items()}
    return [
        {"note": n, "weight": ("none", "weak", "strong")[min(found, 2)]}
        for n, found in shared.items()
    ]


def conflicts(notes: Mapping[int, str], words: Sequence[str]) -> list[Json]:
    """Pairs of notes that say the same sentence, about the question, with other numbers."""
    found = []
    for (one, text), (other, its_text) in combinations(notes.items(), 2):
        claims, others = _claims(text, words), _claims(its_text, words)
        about = next((c for c in claims if c in others and claims[c] != others[c]), None)
        if about:
            found.append({"about": about.replace("#", "?")[:300], "notes": [one, other]})
    return found


def _claims(text: str, words: Sequence[str]) -> dict[str, list[str]]:
    """Sentences with their numbers taken out, and those numbers."""
    sentences = re.split(r"(?<=[.!?])\s+", " ".join(text.split()))
    return {
        NUMBER.sub("#", sentence): NUMBER.findall(sentence)
        for sentence in sentences
        if NUMBER.search(sentence) and any(covers(sentence, word) for word in words)
    }
