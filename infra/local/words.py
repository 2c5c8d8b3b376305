"""The words of a text that carry its meaning."""

import re

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about after again all also an and any are as at be been before being between but by
        came can come could did do does each even ever explain far for from get give go had
        has have he her him his how i if in into is it its just know like long made make many
        may me might more most much must my no nor not now of off on once one only or other
        our out over own say she should so some such tell than that the their them then there
        these they this those through to too under until up us use used very was way we were
        what when where which while who whom whose why will with without would you your
        """,
    )
)


def key_words(text: str) -> list[str]:
    """The words of a text that carry its meaning, each once."""
    words = (word.strip("'").lower() for word in re.findall(r"[\w'-]+", text))
    return list(dict.fromkeys(w for w in words if len(w) > 2 and w not in STOP_WORDS))


def covers(text: str, word: str) -> bool:
    """Whether a text has a word, in whatever form."""
    stem = re.sub(r"(?<=\w{3})(ing|ed|es|e|s)$", "", word)
    return re.search(rf"\b{re.escape(stem)}", text, re.IGNORECASE) is not None
