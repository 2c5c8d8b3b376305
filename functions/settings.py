"""The only reader of the functions' environment."""

import os
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Json, ValidationError

from graph.ceilings import Budget
from graph.errors import BadProject
from graph.runtime.retention import KEEPS, YEARS_10


class Settings(BaseModel):
    """What a function is told by its environment; each field is the variable of that name."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    DATABASE_URL: str = Field(description="Postgres, through the proxy")
    MIGRATION_DATABASE_URL: str = Field("", description="Postgres itself; default DATABASE_URL")
    MIGRATION_DATABASE_SECRET_ARN: str = Field("", description="secret with the owner's password")
    DATABASE_FUNCTIONS_USER: str = Field(
        "", description="role that migrations let in, for functions that are not the owner"
    )
    DATABASE_IAM: bool = Field(False, description="log in with IAM tokens instead of a password")
    DATABASE_SECRET_ARN: str = Field("", description="secret with the password, read at log-in")
    ENCRYPTION_KEYS: str = Field(
        "", description="id:base64 in a list, or a secret's ARN: seal what users said, first seals"
    )
    DATABASE_PREPARES: bool = Field(False, description="prepare statements: only without a proxy")
    QUEUE_URL: str = Field(description="SQS queue, or unix://PATH of the local memory queue")
    NOTIFY_QUEUE_URL: str = Field("", description="the queue to webhooks and WebSockets, if any")
    WEBSOCKET_URL: str = Field("", description="the WebSocket API's @connections endpoint, if any")
    BATON_WEBHOOK_SECRET: str = Field("", description="signs webhooks; several: while one changes")
    BATON_WEBHOOK_NETWORKS: str = Field(
        "", description="networks besides the internet that webhooks may go to, as 10.0.0.0/8"
    )
    BATON_CONFIG: Path = Field(Path("langgraph.json"), description="the project's langgraph.json")
    BATON_STOPPED: bool = Field(False, description="kill switch: no step is taken, nothing is lost")
    BATON_MAX_ATTEMPTS: int = Field(3, ge=1, description="invocations that may die on one step")
    BATON_STEPS_PER_INVOCATION: int = Field(1, ge=1, description="steps before passing on")
    BATON_CACHE_BYTES: int = Field(
        64_000_000, ge=0, description="memory for the last threads stepped; 0 keeps none"
    )
    BATON_INLINE_SECONDS: float = Field(5, gt=0, description="after which none is begun")
    BATON_RUN_RETENTION_DAYS: float = Field(30, gt=0, description="how long ended runs are kept")
    BATON_KEEP_CHECKPOINTS: str = Field(
        "all", pattern=f"^({KEEPS})$", description="of each thread: all, run, or how many"
    )
    BATON_THREAD_TTL_MINUTES: float = Field(
        0,
        ge=0,
        le=YEARS_10,
        description="of new threads; 0: the checkpointer.ttl of langgraph.json, if any",
    )
    BATON_USAGE_RETENTION_DAYS: float = Field(
        400, gt=0, description="how long a row for each call is kept; totals stay"
    )
    BATON_BUDGET: Json[Budget] | None = Field(
        None, description="ceilings of runs that ask for no others, as their `budget`, in JSON"
    )
    BATON_MAX_BODY_BYTES: int = Field(5_000_000, ge=1, description="largest request body")
    BATON_WAIT_SECONDS: float = Field(25, gt=0, description="how long wait and join may wait")
    BATON_SEGMENT_SECONDS: float = Field(
        25, gt=0, description="how long one segment of a stream may take behind a buffering gateway"
    )
    BATON_AUTH: Literal["none", "keys", "gateway"] = Field(
        "none", description="who tells who asks; the `auth` of langgraph.json goes before it"
    )
    BATON_OWNER_CLAIM: str = Field(
        "", description="claim of a token, or field of a user, that owns rows; default: who it is"
    )
    BATON_KEY_SECONDS: float = Field(
        30, ge=0, description="how long a process remembers a verified API key"
    )
    BATON_REQUESTS_PER_SECOND: float = Field(
        0, ge=0, description="steady rate of each owner's requests; 0: no limit"
    )
    BATON_REQUEST_BURST: int = Field(20, ge=1, description="an owner's requests at once beyond it")
    BATON_UNFINISHED_RUNS: int = Field(
        0, ge=0, description="runs of each owner that may be pending or running; 0: no limit"
    )
    BATON_METRICS_TOKEN: str = Field(
        "", description="bearer token for /metrics; needed where callers are told apart"
    )
    BATON_CORS_ORIGINS: str = Field(
        "", description="origins of the pages that may call, in a list; * is any, empty none"
    )
    BATON_STREAM_SECONDS: float = Field(
        0, ge=0, description="how long an open line lasts before its client takes it up; 0: no end"
    )
    BATON_LINE_SECONDS: float = Field(
        0, ge=0, description="how long a run is stepped where its client waits; 0: by workers only"
    )
    BATON_LINE_STEP_SECONDS: float = Field(
        60, gt=0, le=900, description="how long one step may take there; less than that: passed on"
    )
    BATON_LAZY_IMPORTS: Literal["true", "false"] = Field(
        "true", description="load and build what few steps and requests use when it is asked for"
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
