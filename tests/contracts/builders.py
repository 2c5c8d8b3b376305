"""Threads, runs and rows for tests, and the short way into the states tests start from."""

import hashlib
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from graph.errors import NotFound
from graph.runtime.models import (
    BlobRow,
    CheckpointRow,
    Claim,
    Ending,
    NewRun,
    Refusal,
    Rows,
    Run,
    StepJob,
    StepResult,
    Stored,
    Thread,
    ThreadStatus,
    Verdict,
    WriteRow,
)
from graph.runtime.ports import Store

OWNER = "alice"
STRANGER = "mallory"
QUESTION = {"task-1": [{"value": "really?", "id": "i1"}]}
MORE = StepResult(Ending.MORE)
DONE = StepResult(Ending.DONE)


def later(seconds: float) -> datetime:
    """A moment so long from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def a_thread(**changes: Any) -> Thread:
    now = datetime.now(UTC)
    thread = Thread(str(uuid.uuid4()), OWNER, ThreadStatus.IDLE, created_at=now, updated_at=now)
    return replace(thread, **changes)


def a_run(thread_id: str, **changes: Any) -> NewRun:
    new = NewRun(
        run_id=str(uuid.uuid4()),
        thread_id=thread_id,
        owner=OWNER,
        assistant_id=str(uuid.uuid4()),
        graph_id="chat",
        kwargs={"input": {"question": "why?"}},
    )
    return replace(new, **changes)


def checkpoint(checkpoint_id: str, ns: str = "", **changes: Any) -> CheckpointRow:
    row = CheckpointRow(ns, checkpoint_id, None, {"source": "loop"}, b"body of " + ns.encode())
    return replace(row, **changes)


def blob(text: str) -> BlobRow:
    return BlobRow(hashlib.sha256(text.encode()).digest(), "msgpack", text.encode())


def write(checkpoint_id: str, idx: int = 0, ns: str = "", **changes: Any) -> WriteRow:
    row = WriteRow(ns, checkpoint_id, "task", "~path", idx, "answer", "msgpack", b"written")
    return replace(row, **changes)


def rows_of(*checkpoint_ids: str) -> Rows:
    """Rows of a step: root checkpoints, oldest first, each with a blob and a write of its own."""
    blobs = [blob(f"value of {checkpoint_id}") for checkpoint_id in checkpoint_ids]
    return Rows(
        checkpoints=tuple(
            checkpoint(checkpoint_id, blob_ids=(value.blob_id,))
            for checkpoint_id, value in zip(checkpoint_ids, blobs, strict=True)
        ),
        blobs=tuple(blobs),
        writes=tuple(write(checkpoint_id) for checkpoint_id in checkpoint_ids),
    )


def step_to(checkpoint_id: str, ending: Ending = Ending.MORE, **changes: Any) -> StepResult:
    """A step's result that leaves this checkpoint as the thread's head."""
    result = StepResult(ending, rows=rows_of(checkpoint_id), head=checkpoint_id, input_applied=True)
    return replace(result, **changes)


async def new_thread(store: Store, **changes: Any) -> str:
    thread = await store.create_thread(a_thread(**changes))
    return thread.thread_id


async def started(
    store: Store, thread_id: str | None = None, **changes: Any
) -> tuple[Run, StepJob]:
    """A run that is active, and the job that rings for it."""
    thread_id = thread_id or await new_thread(store)
    created = await store.create_run(a_run(thread_id, **changes))
    assert created.job is not None
    return created.run, created.job


async def claim_one(
    store: Store,
    job: StepJob,
    *,
    lease: float = 60.0,
    cached: str | None = None,
    now: datetime | None = None,
) -> Claim | Refusal:
    """The one claim asked for, or why there is none."""
    (answer,) = await store.claim([(job, cached)], lease=lease, now=now)
    return answer


async def take(
    store: Store, job: StepJob, *, lease: float = 60.0, now: datetime | None = None
) -> Claim:
    """A claim that must succeed."""
    claim = await claim_one(store, job, lease=lease, now=now)
    assert isinstance(claim, Claim), claim
    return claim


async def refusal(store: Store, job: StepJob, *, now: datetime | None = None) -> Refusal:
    """A claim that must be refused."""
    answer = await claim_one(store, job, now=now)
    assert isinstance(answer, Refusal), answer
    return answer


async def verdict(store: Store, job: StepJob, *, now: datetime | None = None) -> Verdict:
    """Why a claim is refused."""
    return (await refusal(store, job, now=now)).verdict


async def claimed(store: Store, thread_id: str | None = None, **changes: Any) -> Claim:
    """The first step of a new run, claimed."""
    _, job = await started(store, thread_id, **changes)
    return await take(store, job)


def run_of(claim: Claim) -> Run:
    assert claim.run is not None
    return claim.run


async def stepped(store: Store, *checkpoint_ids: str, thread_id: str | None = None) -> str:
    """A thread whose one run made these checkpoints, a step each, and ended; the thread's id."""
    run, job = await started(store, thread_id)
    for checkpoint_id in checkpoint_ids:
        ending = Ending.DONE if checkpoint_id == checkpoint_ids[-1] else Ending.MORE
        metadata = {"source": "loop", "run_id": run.run_id}
        result = step_to(checkpoint_id, ending)
        rows = replace(
            result.rows, checkpoints=(replace(result.rows.checkpoints[0], metadata=metadata),)
        )
        advanced = await store.advance(await take(store, job), replace(result, rows=rows))
        job = advanced.next_job or job
    return run.thread_id


async def ids(store: Store, thread_id: str | None, ns: str | None = "", **query: Any) -> list[str]:
    """The checkpoints of a thread as history lists them."""
    found = await store.history(thread_id, ns, **query)
    return [stored.row.checkpoint_id for _, stored in found]


def thread_name() -> str:
    """The id of a thread that does not exist."""
    return a_thread().thread_id


async def newest(store: Store, thread_id: str, ns: str = "") -> str | None:
    """The id of the namespace's newest checkpoint."""
    stored = await store.load(thread_id, ns, None)
    return stored.row.checkpoint_id if stored else None


async def put_all(store: Store, thread_id: str, *rows: CheckpointRow) -> None:
    """Put checkpoints one after the other."""
    for row in rows:
        await store.put(thread_id, Rows(checkpoints=(row,)))


async def dump(store: Store, thread_id: str, owner: str = OWNER) -> tuple[Any, ...]:
    """All that the port shows of a thread."""
    checkpoints = [plain(stored) for _, stored in await store.history(thread_id, None)]
    try:
        thread = await store.get_thread(thread_id, owner)
    except NotFound:
        return None, [], checkpoints
    runs = await store.list_runs(thread_id, owner, status=None, limit=1000, offset=0)
    return thread, runs, checkpoints


def plain(stored: Stored | None) -> tuple[Any, ...]:
    """A stored checkpoint in a form to compare: neither mapping types nor write order count."""
    assert stored is not None
    writes = sorted(stored.writes, key=lambda w: (w.task_path, w.task_id, w.idx))
    return stored.row, dict(stored.blobs), writes
