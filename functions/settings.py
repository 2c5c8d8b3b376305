"""The only reader of the functions' environment."""

import os
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graph.errors import BadProject


class Settings(BaseModel):
    """What a function is told by its environment; each field is the variable of that name."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    DATABASE_URL: str = Field(description="Postgres, through the proxy")
    MIGRATION_DATABASE_URL: str = Field("", description="Postgres itself; default DATABASE_URL")
    MIGRATION_DATABASE_SECRET_ARN: str = Field("", description="secret with the owner's password")
    DATABASE_IAM: bool = Field(False, description="log in with IAM tokens instead of a password")
    DATABASE_PREPARES: bool = Field(False, description="prepare statements: only without a proxy")
    QUEUE_URL: str = Field(description="SQS queue, or unix://PATH of the local memory queue")
    BATON_CONFIG: Path = Field(Path("langgraph.json"), description="the project's langgraph.json")
    BATON_STOPPED: bool = Field(False, description="kill switch: no step is taken, nothing is lost")
    BATON_MAX_ATTEMPTS: int = Field(3, ge=1, description="invocations that may die on one step")
    BATON_STEPS_PER_INVOCATION: int = Field(1, ge=1, description="steps before passing on")
    BATON_INLINE_SECONDS: float = Field(5, gt=0, description="after which none is begun")
    BATON_RUN_RETENTION_DAYS: float = Field(30, gt=0, description="how long ended runs are kept")
    BATON_MAX_BODY_BYTES: int = Field(5_000_000, ge=1, description="largest request body")
    BATON_WAIT_SECONDS: float = Field(25, gt=0, description="how long wait and join may wait")
    BATON_SEGMENT_SECONDS: float = Field(
        25, gt=0, description="how long one segment of a stream may take behind a buffering gateway"
    )
    LOG_LEVEL: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    @classmethod
    def of_environment(cls) -> Self:
        """Raises BadProject naming every variable that is missing or wrong."""
        try:
            return cls.model_validate({k: v for k, v in os.environ.items() if v != ""})
        except ValidationError as error:
            wrong = "; ".join(f"{e['loc'][0]}: {e['msg'].lower()}" for e in error.errors())
            raise BadProject(f"the environment is not complete: {wrong}") from error


@cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings.of_environment()
