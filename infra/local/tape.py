"""Models that answer from what was recorded, for as long as a step is replayed."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.messages import messages_from_dict
from langchain_core.outputs import ChatGeneration

from graph.recording import Call, answering, answers
from graph.runtime.recorder import KIND, OWN, asked_json


class Recorded(BaseCache):
    """Answers LangChain's chat models from the record; graph/llm asks for itself."""

    def lookup(self, prompt: str, llm_string: str) -> Any:
        found = answers()
        if found is None or f"('_type', '{OWN}')" in llm_string:
            return None
        asked = asked_json([message["kwargs"] for message in json.loads(prompt)])
        said = found.find(KIND, "", asked)
        return [ChatGeneration(message=messages_from_dict([said])[0])]

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        """What was not recorded is not answered either."""

    def clear(self, **kwargs: Any) -> None:
        """There is nothing to forget."""


@contextmanager
def from_record(calls: Sequence[Call]) -> Iterator[Callable[[], int]]:
    """Models are answered from the record, if there is one; how many were is told after."""
    if not calls:
        yield lambda: 0
        return
    before = get_llm_cache()
    set_llm_cache(Recorded())
    try:
        with answering(calls) as given:
            yield lambda: given.given
    finally:
        set_llm_cache(before)
