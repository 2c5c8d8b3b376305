"""How the offline model picks one of the chat agent's tools, and what it says of the result."""

from typing import Any

import pytest

from graph.agents.tools import TOOLS
from infra.local import extractive, message_format

SPECS = [tool.spec() for tool in TOOLS]


def ask(*turns: tuple[str, Any], tools: list[Any] = SPECS, **more: Any) -> dict[str, Any]:
    """What the offline model answers to a conversation."""
    messages = [{"role": role, "content": content} for role, content in turns]
    call = {"model": "m", "max_tokens": 999, "messages": messages, "tools": tools, **more}
    return message_format.answer(message_format.Call.model_validate(call))


@pytest.mark.parametrize(
    ("question", "tool", "args"),
    [
        ("What is 17 * (23 + 4)?", "calculate", {"expression": "17 * (23 + 4)"}),
        ("How much is 3.5 / 2 ** 2", "calculate", {"expression": "3.5 / 2 ** 2"}),
        ("Where is my order A-1001?", "look_up_order", {"order_id": "A-1001"}),
        ("Please send back order AB-7!", "update_order", {"order_id": "AB-7"}),
        ("Call off order A-1001.", "update_order", {"status": "cancelled"}),
        ("Read https://a.example/b?c=d.", "fetch_page", {"url": "https://a.example/b?c=d"}),
        ("Remember that I like tea.", "remember", {"fact": "Remember that I like tea."}),
        ("Recall my tea, please", "recall", {"query": "recall tea"}),
        ("How did lenses change lighthouses?", "search_documents", {"query": "lenses change"}),
    ],
)
def test_the_words_of_the_question_choose_the_tool(
    question: str, tool: str, args: dict[str, str]
) -> None:
    (block,) = ask(("user", question))["content"]
    assert block["name"] == tool
    assert args.items() <= block["input"].items()
    chosen = next(one for one in TOOLS if one.name == tool)
    chosen.args.model_validate(block["input"])


def test_without_a_word_to_look_for_it_answers_at_once() -> None:
    (block,) = ask(("user", "And you?"))["content"]
    assert block["type"] == "text"


def used(name: str, text: str, **result: Any) -> list[tuple[str, Any]]:
    call = {"type": "tool_use", "id": "c", "name": name, "input": {}}
    answer = {"type": "tool_result", "tool_use_id": "c", "content": text, **result}
    return [("assistant", [call]), ("user", [answer])]


@pytest.mark.parametrize(
    ("name", "content", "more", "said"),
    [
        ("calculate", "1 + 1 = 2", {}, "calculate answered: 1 + 1 = 2"),
        ("calculate", "Broken.", {"is_error": True}, "calculate failed: Broken."),
        (
            "look_up_order",
            "Order A-1 (kettle) is shipped.",
            {},
            "Order A-1 (kettle) is shipped. (look_up_order)",
        ),
    ],
)
def test_it_copies_what_the_tool_returned(
    name: str, content: str, more: dict[str, Any], said: str
) -> None:
    answer = ask(("user", "Where is my order A-1?"), *used(name, content, **more))
    assert (answer["content"][0]["text"], answer["stop_reason"]) == (said, "end_turn")


def test_an_earlier_questions_results_do_not_answer_this_one() -> None:
    earlier = used("look_up_order", "Order A-1 (kettle) is shipped to the harbour.")
    answer = ask(
        ("user", "Where is my order A-1?"),
        *earlier,
        ("assistant", "Shipped."),
        ("user", "Is the order cheaper by 2 + 2?"),
        *used("calculate", "2 + 2 = 4"),
    )
    assert answer["content"][0]["text"] == "calculate answered: 2 + 2 = 4"


def test_an_options_words_in_its_description_choose_it() -> None:
    schema = {"enum": ["else", "sea", "sky"], "description": "sea: boat, harbours; sky: plane"}

    def chosen(text: str) -> Any:
        return extractive.option(
            schema, extractive.read([("user", [{"type": "text", "text": text}])])
        )

    assert chosen("Two boats collided in a harbour.") == "sea"
    assert chosen("A PLANE landed.") == "sky"
    assert chosen("Nothing.") == "else"
    assert chosen("A boat. <done>sea</done>") == "else"
    assert chosen("A boat. <done>sea</done><done>sky</done><done>else</done>") == "sea"
