"""The ceilings a run asks for, and how a person raises them.

In `config.configurable` of a run or its assistant:
{"budget": {"usd": 0.1, "model_calls": 20, "thread": {"usd": 2}, "at_ceiling": "interrupt"}}
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from graph.errors import BadInput

Json = dict[str, Any]

RAISE = "raise_budget"  # {"resume": {RAISE: {"usd": 0.2}}} goes on under these ceilings


class Ceilings(BaseModel, extra="forbid", frozen=True):
    """What may be spent; unset is without end."""

    usd: Decimal | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=0)
    model_calls: int | None = Field(default=None, gt=0)
    tool_calls: int | None = Field(default=None, gt=0)


class Budget(Ceilings, frozen=True):
    """A run's ceilings, and what happens at one."""

    steps: int | None = Field(default=None, gt=0)
    thread: Ceilings = Ceilings()
    at_ceiling: Literal["interrupt", "error"] = "interrupt"
    cheaper_at: float = Field(
        default=0.8, gt=0, le=1
    )  # of a ceiling in USD: see BATON_MODEL_CHEAPER

    @property
    def limits_calls(self) -> bool:
        """Whether a model call may be one too many."""
        ceilings = (self, self.thread)
        return any(c.usd or c.tokens or c.model_calls for c in ceilings)


WITHOUT_END = Budget()


def budget_of(kwargs: Mapping[str, Any], default: Json | None = None) -> Budget:
    """The budget a run asked for, over the deployment's default ceiling by ceiling.

    Raises BadInput for one that cannot be understood.
    """
    asked = ((kwargs.get("config") or {}).get("configurable") or {}).get("budget")
    whole = _over(default or {}, {} if asked is None else asked)
    if whole == {}:
        return WITHOUT_END
    try:
        return Budget.model_validate(whole)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadInput(f"config.configurable.budget: {wrong}") from error


def _over(default: Json, asked: Any) -> Any:
    if not isinstance(asked, dict):
        return asked
    thread = asked.get("thread", {})
    whole = {**default, **asked}
    if isinstance(thread, dict) and (thread or "thread" in default):
        whole["thread"] = {**default.get("thread", {}), **thread}
    return whole


def raises_budget(command: Any) -> bool:
    """Whether a command is a person's answer to a ceiling."""
    resume = command.get("resume") if isinstance(command, dict) else None
    return isinstance(resume, dict) and resume.keys() == {RAISE}


def raised(kwargs: Json) -> Json:
    """A request's kwargs with the ceilings that its answer to one raises."""
    command: Any = kwargs.get("command")
    if not raises_budget(command):
        return kwargs
    config = kwargs.get("config") or {}
    conf = config.get("configurable") or {}
    budget = {**(conf.get("budget") or {}), **command["resume"][RAISE]}
    return {**kwargs, "config": {**config, "configurable": {**conf, "budget": budget}}}
