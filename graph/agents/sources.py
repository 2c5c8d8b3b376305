"""Passages that were found: what each weighs, where they conflict, and how they are cited."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypedDict

from pydantic import BaseModel, Field

Json = dict[str, Any]
Weights = Mapping[str, str]  # by a note's number, counted from 1, as JSON has it

REJECTED = "rejected"  # by a person; whatever a model says of it later
USELESS = ("none", REJECTED)


class Note(TypedDict):
    """A passage that was found."""

    path: str
    heading: str
    text: str


class Weight(BaseModel):
    """How much a note helps to answer, and how far its source can be trusted."""

    note: int = Field(ge=1)
    weight: Literal["strong", "weak", "none"]


class Conflict(BaseModel):
    """Notes that cannot all be true."""

    about: str = Field(min_length=1, max_length=300)
    notes: list[int] = Field(min_length=2, max_length=10)


def weighed(old: Weights, new: Sequence[Weight], notes: int) -> dict[str, str]:
    """The weights, where a person's word stands against a model's."""
    rejected = {n: weight for n, weight in old.items() if weight == REJECTED}
    return {str(w.note): w.weight for w in new if w.note <= notes} | rejected


def unsettled(
    found: Sequence[Conflict], settled: Sequence[Collection[int]], notes: int
) -> list[Json]:
    """The conflicts among notes that there are, which no person has been asked about."""
    return [
        conflict.model_dump()
        for conflict in found
        if len(set(conflict.notes)) > 1
        and all(1 <= n <= notes for n in conflict.notes)
        and not any(set(conflict.notes) <= set(asked) for asked in settled)
    ]


def question(conflict: Json, notes: Sequence[Note], problem: str) -> Json:
    """What a person is asked about a conflict."""
    return {
        "question": f"The sources conflict: {conflict['about']}. Which of them are right?",
        "notes": [{"note": n, **notes[n - 1]} for n in conflict["notes"]],
        "answer_with": '{"trust": [numbers of notes]}; an empty list has the conflict reported',
        "problem": problem or None,
    }


def rejected(conflict: Json, answer: Any) -> dict[str, str]:
    """The notes that a person does not trust; raises ValueError for an answer without a sense."""
    trusted = answer.get("trust") if isinstance(answer, dict) else answer
    trusted = [trusted] if type(trusted) is int else trusted
    among: list[int] = conflict["notes"]
    if not isinstance(trusted, list) or not all(type(n) is int and n in among for n in trusted):
        raise ValueError(f"trust must be a list of some of {among}")
    return {str(n): REJECTED for n in among if trusted and n not in trusted}


def material(notes: Sequence[Note], weights: Weights) -> list[str]:
    """The notes that are worth reading, under the numbers they keep."""
    return [
        f'<note n="{n}" source="{note["path"]}: {note["heading"]}" '
        f'weight="{weights.get(str(n), "new")}">\n{note["text"]}\n</note>'
        for n, note in enumerate(notes, 1)
        if weights.get(str(n)) not in USELESS
    ]


def cited(text: str, notes: Sequence[Note]) -> str:
    """The list of sources for a text that cites notes like [1]; nothing if it cites none."""
    numbers = {int(n) for n in re.findall(r"\[(\d+)\]", text)}
    lines = [
        f"- [{n}] {note['path']}: {note['heading']}"
        for n, note in enumerate(notes, 1)
        if n in numbers
    ]
    return "\n\n## Sources\n\n" + "\n".join(lines) if lines else ""
