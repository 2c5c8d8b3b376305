"""A model without a mind: it only picks words and sentences out of the conversation it is given."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from infra.local import judging
from infra.local.words import covers, key_words

Json = dict[str, Any]

VERDICTS = ("enough", "done", "complete", "finished", "sufficient")
JUDGEMENTS = {"weights": judging.weights, "conflicts": judging.conflicts}
SENTENCES = 9  # in a report
PER_NOTE = 2


@dataclass(frozen=True, slots=True)
class Note:
    """A passage in the conversation and how to cite it."""

    cite: str
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a request is about."""

    question: str
    searched: tuple[str, ...]
    notes: tuple[Note, ...]
    done: tuple[str, ...] = ()  # choices that were made before

    def queries(self) -> list[str]:
        """What to look up next: key words of the question neither searched nor in two notes."""
        words = [
            word
            for word in key_words(self.question)
            if not any(covers(query, word) for query in self.searched)
            and sum(covers(note.text, word) for note in self.notes) < 2
        ]
        return [" ".join(words[i : i + 2]) for i in range(0, min(len(words), 4), 2)]

    def numbered(self) -> dict[int, str]:
        """The notes that have a number."""
        return {int(n.cite[1:-1]): n.text for n in self.notes if n.cite[1:-1].isdecimal()}


def read(turns: Sequence[tuple[str, list[Json]]]) -> Conversation:
    """Find the question and the material, in tags, tool results or plain text; (role, blocks)."""
    asked = [text for role, blocks in turns if role == "user" for text in _texts(blocks)]
    everything = "\n".join(asked)
    tagged = re.findall(r"<(question|ticket)>(.*?)</\1>", everything, re.DOTALL)
    # What tools returned on an earlier question does not answer this one.
    spoke = max((n for n, (role, b) in enumerate(turns) if role == "user" and _texts(b)), default=0)
    return Conversation(
        question=" ".join(([text for _, text in tagged] or asked or [""])[-1].split()),
        searched=tuple(re.findall(r"<searched>(.*?)</searched>", everything, re.DOTALL)),
        notes=(
            *_tagged_notes(everything),
            *_tool_notes([block for _, blocks in turns[max(spoke - 1, 0) :] for block in blocks]),
        ),
        done=tuple(re.findall(r"<done>(.*?)</done>", everything, re.DOTALL)),
    )


def fill(schema: Json, talk: Conversation, name: str = "", root: Json | None = None) -> Any:
    """A plausible value for a JSON schema: from the conversation if `name` tells, else minimal."""
    root = schema if root is None else root
    schema = _resolve(schema, root)
    for fixed in ("const", "default"):
        if fixed in schema and name not in VERDICTS and "quer" not in name:
            return schema[fixed]
    if "enum" in schema:
        return option(schema, talk)
    match schema.get("type"):
        case "object":
            return _fill_object(schema, talk, root)
        case "array":
            return _fill_array(schema, talk, name, root)
        case "boolean":
            return name in VERDICTS and not talk.queries()
        case "integer" | "number":
            return max(schema.get("minimum", 0), schema.get("exclusiveMinimum", -1) + 1)
        case "null":
            return None
    text = quoted(schema, name, talk.question)
    if text is None:
        text = next(iter(talk.queries()), talk.question) if "quer" in name else talk.question
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]


def option(schema: Json, talk: Conversation) -> Any:
    """The value of an enum whose words the question has; its first when it has none.

    What was chosen before is not chosen again while there is something else.

    A description may give words for values: "billing: invoice, refund; technical: error, crash".
    """
    fresh = [value for value in schema["enum"] if value not in talk.done] or schema["enum"]
    return max(fresh, key=lambda value: mentions(schema, value, talk.question))


def mentions(schema: Json, value: Any, question: str) -> int:
    """How many of an enum value's words the question has."""
    parts = (part.partition(":") for part in schema.get("description", "").split(";"))
    hints = {name.strip(): words for name, _, words in parts}
    return sum(covers(question, w) for w in key_words(f"{value} {hints.get(str(value), '')}"))


def quoted(schema: Json, name: str, question: str) -> str | None:
    """The part of the question that a string of a certain form must be; None if any will do."""
    if schema.get("format") == "uri":
        shape = r"https?://[^\s<>\"']*[^\s<>\"'.,;:!?)]"
    elif "pattern" in schema:
        shape = schema["pattern"].removeprefix("^").removesuffix("$")
    elif name == "expression":
        shape = r"[(\d][\d\s().]*(?:\s*(?:\*\*|//|[-+*/%^])\s*[\d\s().]+)+"
    else:
        return None
    found = re.search(shape, question)
    return found[0].strip(" .") if found else ""


def report(talk: Conversation, *, titled: bool = True) -> str:
    """The sentences of the notes that match the question best, each with its source."""
    scored = sorted(
        ((score, n, i, sentence) for n, i, sentence, score in _scored(talk)),
        key=lambda found: (-found[0], found[1], found[2]),
    )
    if not scored:
        return f"Nothing in this conversation has a sentence to copy that answers: {talk.question}"
    chosen: dict[int, list[tuple[int, str]]] = {}
    for _, n, i, sentence in scored:
        if sum(map(len, chosen.values())) == SENTENCES:
            break
        if len(chosen.get(n, [])) < PER_NOTE:
            chosen.setdefault(n, []).append((i, sentence))
    paragraphs = [
        " ".join(f"{sentence} {talk.notes[n].cite}" for _, sentence in sorted(picked))
        for n, picked in sorted(chosen.items())
    ]
    return "\n\n".join([f"# {talk.question}"] * titled + paragraphs)


def _scored(talk: Conversation) -> Iterator[tuple[int, int, str, float]]:
    words = key_words(talk.question)
    # A word that few notes have tells more than one that all have.
    weight = {w: 1 / (1 + sum(covers(note.text, w) for note in talk.notes)) for w in words}
    for n, note in enumerate(talk.notes):
        for i, sentence in enumerate(re.split(r"(?<=[.!?])\s+", " ".join(note.text.split()))):
            score = sum(weight[w] for w in words if covers(sentence, w))
            if score and len(sentence) >= 20:
                yield n, i, sentence, score


def _texts(blocks: Sequence[Json]) -> list[str]:
    return [block.get("text", "") for block in blocks if block.get("type") == "text"]


def _tagged_notes(text: str) -> Iterator[Note]:
    for tag, body in re.findall(r"<note\b([^>]*)>(.*?)</note>", text, re.DOTALL):
        fields = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        cite = f"[{fields['n']}]" if "n" in fields else f"({fields.get('source', 'note')})"
        yield Note(cite, body.strip())


def _tool_notes(blocks: Sequence[Json]) -> Iterator[Note]:
    names = {block.get("id"): block.get("name") for block in blocks if block["type"] == "tool_use"}
    for block in blocks:
        if block["type"] == "tool_result" and not block.get("is_error"):
            content = block.get("content", "")
            for text in [content] if isinstance(content, str) else _texts(content):
                yield Note(f"({names.get(block.get('tool_use_id'), 'tool')})", text)


def _resolve(schema: Json, root: Json) -> Json:
    if "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return _resolve(target, root)
    for union in ("anyOf", "oneOf", "allOf"):
        for option in schema.get(union, ()):
            if option.get("type") != "null":
                return _resolve(option, root)
    return schema


def _fill_object(schema: Json, talk: Conversation, root: Json) -> Json:
    wanted = schema.get("required", ())
    return {
        name: fill(part, talk, name, root)
        for name, part in schema.get("properties", {}).items()
        if name in wanted or name in VERDICTS or "quer" in name or name in JUDGEMENTS
    }


def _fill_array(schema: Json, talk: Conversation, name: str, root: Json) -> list[Any]:
    if name in JUDGEMENTS:
        judged = JUDGEMENTS[name](talk.numbered(), key_words(talk.question))
        return judged[: schema.get("maxItems")]
    least = schema.get("minItems", 0)
    items = talk.queries() if "quer" in name else []
    while len(items) < least:
        items.append(fill(schema.get("items", {}), talk, "", root))
    return items[: schema.get("maxItems")]
