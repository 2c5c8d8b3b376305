"""How models are called: the model layer's own variables of the environment."""

import os
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, Json, ValidationError

from graph.errors import BadProject

DEFAULT_MODEL = "claude-haiku-5-5"
OFFLINE_MODEL = "offline-extractive"  # how the local stand-in signs its answers


class Limit(BaseModel, extra="forbid", frozen=True):
    """A model's limits in a minute, for each key; unset is without end."""

    requests: int | None = Field(None, gt=0)
    input_tokens: int | None = Field(None, gt=0)
    output_tokens: int | None = Field(None, gt=0)


class ModelSettings(BaseModel):
    """Each field is the variable of that name."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    BATON_MODEL: str = Field(DEFAULT_MODEL, description="the model that is asked")
    BATON_MODEL_PROVIDER: Literal["anthropic", "bedrock", "aws"] = Field(
        "anthropic", description="where: Anthropic or any base URL, Bedrock, or Claude on AWS"
    )
    BATON_MODEL_FALLBACK: str = Field("", description="the model asked after failures in a row")
    BATON_MODEL_FALLBACK_AFTER: int = Field(3, ge=1, description="how many")
    BATON_MODEL_FAILURES: int = Field(
        30, ge=1, description="failures of one step after which its run fails"
    )
    BATON_MODEL_CHEAPER: str = Field("", description="the model asked close to a ceiling in USD")
    BATON_MODEL_LIMITS: Json[dict[str, Limit]] = Field(
        default_factory=dict, description='{"claude-haiku-5-5": {"requests": 50}} a minute, as JSON'
    )
    BATON_MODEL_RESERVE: float = Field(
        0.3, ge=0, lt=1, description="share of a bucket that background runs leave to others"
    )
    ANTHROPIC_API_KEYS: str = Field("", description="several keys, in a list, used as one pool")
    BATON_MODEL_KEYS_SECRET_ARN: str = Field("", description="secret that holds that list")

    def limit(self, model: str) -> tuple[str, Limit] | None:
        """The limits of the model, by the longest beginning of its name that has some."""
        names = [name for name in self.BATON_MODEL_LIMITS if model.startswith(name)]
        name = max(names, key=len, default=None)
        return None if name is None else (name, self.BATON_MODEL_LIMITS[name])


def model_settings() -> ModelSettings:
    """The settings as they stand; raises BadProject naming every variable that is wrong."""
    return _parsed(tuple((name, os.environ.get(name, "")) for name in ModelSettings.model_fields))


@cache
def _parsed(variables: tuple[tuple[str, str], ...]) -> ModelSettings:
    try:
        return ModelSettings.model_validate({name: value for name, value in variables if value})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadProject(f"the environment is not complete: {wrong}") from error
