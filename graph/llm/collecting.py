"""The sweep's part of batches: sends what steps asked for, and fetches what is answered."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from graph.calls import BatchCall, CallStore
from graph.errors import PermanentFailure
from graph.llm.batches import SHARE
from graph.llm.metering import spent_on
from graph.llm.providers import client, keys

if TYPE_CHECKING:
    from anthropic.types.messages import MessageBatchIndividualResponse

log = logging.getLogger("baton.models")

SIZE = 500  # calls in a batch
PATIENCE = 30.0  # seconds; the sweep has other things to do
TRIES = 3  # batches that may fail a call
SURE_AFTER = 600.0  # seconds after which nobody is sending any more
SLACK = timedelta(minutes=5)  # between the API's clock and the database's
SEEN = 100  # of the newest batches are looked through for what a sender left that died

Waiting = tuple[str, int, str]  # (thread_id, seq, owner) to ring for


async def collect(store: CallStore) -> set[Waiting]:
    """Send and fetch; whom to ring for. A batch API that fails is asked again by the next sweep."""
    asked, opened = await store.take_batch(limit=SIZE), await store.open_batches()
    unsure = await store.unsure_batch_calls(older_than=SURE_AFTER)
    if not (asked or opened or unsure):
        return set()
    import anthropic  # thousands of modules, wanted only where there are batches

    woken: set[Waiting] = set()
    try:
        async with asyncio.timeout(PATIENCE):
            if asked:
                woken |= await _send(store, asked)
            for batch_id in opened:
                woken |= await _fetch_or_forget(store, batch_id)
            if unsure:
                woken |= await _find(store)
    except (anthropic.APIError, PermanentFailure, TimeoutError):
        log.warning("batches have to wait", exc_info=True)
    return woken


async def _send(store: CallStore, calls: Sequence[BatchCall]) -> set[Waiting]:
    """Send calls as one batch; one by one, if the API takes exception to some of them."""
    import anthropic

    requests: Any = [
        {"custom_id": call.key, "params": {**call.request, "model": call.model}} for call in calls
    ]
    names = [call.key for call in calls]
    try:
        batch = await _api().messages.batches.create(requests=requests)
    except (anthropic.BadRequestError, anthropic.RequestTooLargeError) as error:
        if len(calls) == 1:
            said = {"error": f"the batch was refused: {error.api_message}"}
            return _some(await store.answer_batch_call(names[0], said, None))
        halves = calls[: len(calls) // 2], calls[len(calls) // 2 :]
        return await _send(store, halves[0]) | await _send(store, halves[1])
    except anthropic.APIStatusError as error:
        if error.status_code < 500:  # beyond that nobody knows whether it was taken
            await store.batch_unsent(names)
        raise
    except PermanentFailure:
        await store.batch_unsent(names)
        raise
    await store.batch_sent(names, batch.id)
    return set()


async def _fetch_or_forget(store: CallStore, batch_id: str) -> set[Waiting]:
    """One batch holds none of the others back."""
    import anthropic

    try:
        return await _fetch(store, batch_id)
    except anthropic.NotFoundError:
        log.warning("a batch is gone", extra={"batch_id": batch_id})
        await store.forget_batch(batch_id)
    except anthropic.APIError:
        log.warning("a batch has to wait", extra={"batch_id": batch_id}, exc_info=True)
    return set()


async def _fetch(store: CallStore, batch_id: str) -> set[Waiting]:
    """Keep the answers of a batch that has ended."""
    api = _api()
    batch = await api.messages.batches.retrieve(batch_id)
    if batch.processing_status != "ended":
        return set()
    woken: set[Waiting] = set()
    async for answer in await api.messages.batches.results(batch_id):
        woken |= await _keep(store, answer)
    return woken


async def _keep(store: CallStore, answer: "MessageBatchIndividualResponse") -> set[Waiting]:
    key, result = answer.custom_id, answer.result
    if result.type == "succeeded":
        message = result.message
        spent = replace(spent_on(message, share=SHARE), call_id=key)
        kept = {"message": message.to_dict()}
        return _some(await store.answer_batch_call(key, kept, spent))
    call = await store.find_batch_call(key)
    if call is None or call.result is not None:
        return set()
    said = result.error.error.message if result.type == "errored" else result.type
    wrong = result.type == "errored" and result.error.error.type == "invalid_request_error"
    if wrong or call.tries >= TRIES:
        failed = {"error": f"the batch brought no answer: {said}"}
        return _some(await store.answer_batch_call(key, failed, None))
    await store.batch_unsent([key])
    return set()


async def _find(store: CallStore) -> set[Waiting]:
    """Look for calls that somebody was sending who died: in the batches that nobody knows of."""
    api = _api()
    unsure = await store.unsure_batch_calls(older_than=SURE_AFTER)
    since = min(unsure.values()) - SLACK
    page = await api.messages.batches.list(limit=SEEN)
    newer = [batch for batch in page.data if batch.created_at >= since]
    known = await store.known_batches([batch.id for batch in newer])
    strange = [batch for batch in newer if batch.id not in known]
    woken: set[Waiting] = set()
    for batch in strange:
        woken |= await _fetch(store, batch.id)
    if all(batch.processing_status == "ended" for batch in strange):
        left = await store.unsure_batch_calls(older_than=SURE_AFTER)
        await store.batch_unsent(sorted(left.keys() & unsure.keys()))
    return woken


def _api() -> Any:
    return client(keys()[0])


def _some(found: Waiting | None) -> set[Waiting]:
    return {found} if found else set()
