"""Claude as a LangChain chat model: messages in, message out, tools, tokens as they come."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.language_models.chat_models import agenerate_from_stream
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from typing_extensions import override

from graph.llm.chunks import chunks_of
from graph.llm.client import MAX_TOKENS, streaming
from graph.llm.settings import model_settings
from graph.llm.turns import system_of, turns_of

Json = dict[str, Any]


class Claude(BaseChatModel):
    """Any other LangChain chat model may stand in its place."""

    @property
    def _llm_type(self) -> str:
        return "claude"

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return LangSmithParams(
            ls_provider="anthropic",
            ls_model_name=model_settings().BATON_MODEL,
            ls_model_type="chat",
            ls_max_tokens=MAX_TOKENS,
        )

    def bind_tools(
        self,
        tools: Sequence[Json | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools it may call; with `tool_choice` "none" it may not."""
        choice = {} if tool_choice is None else {"tool_choice": {"type": tool_choice}}
        return self.bind(tools=[_tool(tool) for tool in tools], **choice, **kwargs)

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise TypeError("this model is asynchronous: await ainvoke in an async node")

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        request = {"messages": turns_of(messages), **kwargs}
        if system := system_of(messages):
            request["system"] = system
        if stop:
            request["stop_sequences"] = stop
        async with streaming(**request) as stream:
            async for chunk in chunks_of(stream):
                yield ChatGenerationChunk(message=chunk)


def _tool(tool: Json | type | Callable[..., Any] | BaseTool) -> Json:
    """A tool in any of LangChain's forms, in Anthropic's."""
    function = convert_to_openai_tool(tool)["function"]
    return {
        "name": function["name"],
        "description": function.get("description", ""),
        "input_schema": function.get("parameters", {"type": "object", "properties": {}}),
    }
