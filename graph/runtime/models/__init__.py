"""The engine's nouns: threads, runs, claims and what a step leaves behind."""

from graph.runtime.models.events import Event
from graph.runtime.models.jobs import StepJob
from graph.runtime.models.json import Json
from graph.runtime.models.rows import BlobRow, CheckpointRow, Rows, Stored, WriteRow
from graph.runtime.models.runs import Created, NewRun, Run, RunStatus
from graph.runtime.models.steps import Advanced, Claim, Ending, Refusal, StepResult, Verdict
from graph.runtime.models.threads import Thread, ThreadQuery, ThreadStatus

__all__ = [
    "Advanced",
    "BlobRow",
    "CheckpointRow",
    "Claim",
    "Created",
    "Ending",
    "Event",
    "Json",
    "NewRun",
    "Refusal",
    "Rows",
    "Run",
    "RunStatus",
    "StepJob",
    "StepResult",
    "Stored",
    "Thread",
    "ThreadQuery",
    "ThreadStatus",
    "Verdict",
    "WriteRow",
]
