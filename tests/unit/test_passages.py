"""Cutting documents into passages."""

from graph.agents.passages import SIZE, Piece, cut


def test_a_passage_lies_under_the_headings_that_lead_to_it() -> None:
    text = "Before.\n# One\nFirst.\n## Two ##\nSecond.\n# Three\nThird."
    assert cut(text, "title") == [
        Piece("title", "Before."),
        Piece("One", "First."),
        Piece("One / Two", "Second."),
        Piece("Three", "Third."),
    ]


def test_a_hash_in_code_is_no_heading() -> None:
    text = "# Run\n```\n# a comment\nmake\n```\n## Stop\nNow."
    assert cut(text, "t") == [
        Piece("Run", "```\n# a comment\nmake\n```"),
        Piece("Run / Stop", "Now."),
    ]


def test_short_paragraphs_share_a_passage_and_long_ones_are_split() -> None:
    words = "lighthouse " * 400
    pieces = [piece.text for piece in cut(f"One.\n\nTwo.\n\n{words}\n\nLast.", "t")]
    assert pieces[0] == "One.\n\nTwo."
    assert pieces[-1].endswith("\n\nLast.")
    assert all(len(piece) <= SIZE for piece in pieces)
    assert " ".join(pieces).split() == ["One.", "Two.", *words.split(), "Last."]


def test_a_word_longer_than_a_passage_is_cut() -> None:
    assert [len(piece.text) for piece in cut("x" * (SIZE + 1), "t")] == [SIZE, 1]


def test_a_text_without_words_has_no_passages() -> None:
    assert cut("\n# Heading\n \n", "t") == []
