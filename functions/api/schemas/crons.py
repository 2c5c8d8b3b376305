"""What a client may ask of a cron, and what it is told."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from functions.api.schemas.answers import Answer
from functions.api.schemas.fields import Sorted
from functions.api.schemas.runs import RunCreate
from graph.errors import BadInput
from graph.runtime.models import Cron, CronSort, Json

# Of a request, what is the cron's own and not its runs'.
OWN = {"schedule", "timezone", "end_time", "enabled", "on_run_completed", "metadata"}
KEEPS_NULL = ("timezone", "end_time")


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


Moment = Annotated[datetime, AfterValidator(_aware)]


class CronFields(RunCreate):
    """A run, and when it is to be made; due times are looked at once a minute."""

    schedule: str = Field(
        max_length=200,
        description="Five fields: minute, hour, day of the month, month, day of the week. The "
        "sweep that fires crons runs every minute, so a run starts up to a minute after it is due.",
        examples=["30 8 * * MON-FRI"],
    )
    timezone: str | None = Field(
        None,
        max_length=100,
        description="Whose wall clock the schedule goes by, as Europe/Berlin; UTC without. A fixed "
        "time that a clock put forward leaves out comes right after the gap, one that a clock put "
        "back repeats comes once.",
    )
    end_time: Moment | None = Field(None, description="No run is due later; UTC without an offset.")
    enabled: bool = True


class ThreadCronCreate(CronFields):
    """Runs on one thread; on a busy one, what `multitask_strategy` says."""


class CronCreate(CronFields):
    """Runs on a new thread each time, which goes an hour after its run unless it is kept."""

    on_run_completed: Literal["delete", "keep"] = "delete"

    @model_validator(mode="after")
    def _starts_anew(self) -> Self:
        if (
            self.checkpoint
            or self.checkpoint_id
            or (self.command and "resume" in self.command.model_fields_set)
        ):
            raise ValueError("a new thread has neither a checkpoint nor a question to go on from")
        return self


class CronUpdate(CronFields):
    """What is left out, or null, stays; but a null `end_time` or `timezone` clears it."""

    # No subtype: what it may leave out, a new cron needs. Nobody takes one for the other.
    assistant_id: Annotated[str | None, Field(exclude=True)] = None  # type: ignore[assignment]
    schedule: str | None = Field(None, max_length=200)  # type: ignore[assignment]
    enabled: bool | None = None  # type: ignore[assignment]
    on_run_completed: Literal["delete", "keep"] | None = None


class CronFilter(BaseModel):
    """Which crons are meant."""

    assistant_id: str | None = None
    thread_id: UUID | None = None
    enabled: bool | None = None
    metadata: Json | None = None


class CronSearch(CronFilter, Sorted):
    sort_by: CronSort | None = None
    select: list[str] | None = None


class CronAnswer(Answer):
    """A cron; `payload` is the run that it asks for."""

    model_config = ConfigDict(title="Cron")

    cron_id: UUID
    assistant_id: str
    thread_id: UUID | None
    on_run_completed: Literal["delete", "keep"] | None
    schedule: str
    timezone: str | None
    end_time: datetime | None
    enabled: bool
    next_run_date: datetime | None
    payload: Json
    metadata: Json
    user_id: str | None
    error: Json | None = Field(description="Why its last due time made no run.")
    created_at: datetime
    updated_at: datetime


def said(asked: CronFields) -> Json:
    """What a request says, as JSON; of an update, without what it leaves alone."""
    body: Json = asked.model_dump(mode="json", exclude_unset=True)
    if isinstance(asked, CronUpdate):
        body = {k: v for k, v in body.items() if v is not None or k in KEEPS_NULL}
    return body


def fields_of(body: Json, kind: type[CronFields]) -> dict[str, Any]:
    """The fields of a Cron that such JSON says, those about its runs as the engine is told them.

    Raises BadInput.
    """
    try:
        whole = kind.model_validate(body)
    except ValidationError as error:  # a change that does not go with what stands
        wrong = error.errors()[0]
        where = ".".join(["body", *map(str, wrong["loc"])])
        raise BadInput(f"{where}: {str(wrong['msg']).removeprefix('Value error, ')}") from error
    return {
        "schedule": whole.schedule,
        "timezone": whole.timezone,
        "end_time": whole.end_time,
        "enabled": whole.enabled,
        "metadata": whole.metadata or {},
        "payload": {key: value for key, value in body.items() if key not in OWN},
        "kwargs": whole.kwargs,
        "multitask_strategy": whole.multitask_strategy,
    }


def body_of(cron: Cron) -> Json:
    """The JSON that a cron as it stands comes of."""
    own = ("schedule", "timezone", "end_time", "enabled", "metadata")
    return {**cron.payload, **{name: getattr(cron, name) for name in own}}
