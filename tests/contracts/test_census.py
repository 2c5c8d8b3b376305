"""How things stand: the same counts on every store."""

from datetime import UTC, datetime, timedelta

import psycopg

from graph.runtime.models import Ending, RunStatus
from tests.contracts.builders import claimed, started, step_to
from tests.contracts.lab import Lab, PostgresLab


async def test_everything_is_counted_where_it_stands(lab: Lab) -> None:
    store = lab.store
    before = await store.census()
    await started(store)
    await claimed(store)
    ends, fails, asks, asks_too, sleeps = [await claimed(store) for _ in range(5)]
    await store.advance(ends, step_to("1", Ending.DONE))
    await store.advance(fails, step_to("1", Ending.FAILED, error={"error": "E", "message": "m"}))
    for each in (asks, asks_too):  # what is there once, statistics do not know
        await store.advance(each, step_to("1", Ending.INTERRUPTED))
    await store.advance(sleeps, step_to("1", wake_in=600.0))
    if isinstance(lab, PostgresLab):
        async with await psycopg.AsyncConnection.connect(lab.direct_url) as direct:
            await direct.execute("ANALYZE threads")

    census = await store.census()

    assert (census.due_steps, census.steps_under_way, census.sleeping) == (1, 1, 1)
    assert census.waiting == 2
    assert sum(census.unfinished.values()) == 3
    more = {status: n - before.ended.get(status, 0) for status, n in census.ended.items()}
    assert more == {RunStatus.SUCCESS: 1, RunStatus.ERROR: 1, RunStatus.INTERRUPTED: 2}
    later = datetime.now(UTC) + timedelta(hours=2)
    much_later = await store.census(now=later)
    assert 7190 < much_later.oldest_due < 7300
    assert (much_later.steps_under_way, much_later.due_steps, much_later.ended) == (0, 3, {})
