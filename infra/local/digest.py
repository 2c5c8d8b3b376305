"""How a model without a mind sums up: by the first sentence of what people said."""

import re

SENTENCES = 16  # half of them the oldest, half the newest
LENGTH = 120  # characters of each


def digest(text: str) -> str | None:
    """The summary that a prompt with <summary> and <said> asks for; None for another prompt."""
    said = re.findall(r"<said by='human'>\n(.*?)\n</said>", text, re.DOTALL)
    summary = re.search(r"<summary>\n(.*?)\n</summary>", text, re.DOTALL)
    if "<said by=" not in text or summary is None:
        return None
    first = [re.split(r"(?<=[.!?])\s+", " ".join(one.split()))[0][:LENGTH] for one in said]
    lines = [*summary[1].splitlines(), *first]
    kept = [line for line in lines if line.strip()] or ["Nothing to remember was said."]
    if len(kept) > SENTENCES:
        kept = kept[: SENTENCES // 2] + kept[-SENTENCES // 2 :]
    return "\n".join(kept)
