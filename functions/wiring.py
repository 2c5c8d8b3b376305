"""The only place that builds things, once per process."""

import asyncio
import os
from functools import cache

from aws_lambda_powertools import Logger

from functions.settings import settings
from graph.adapters.postgres import PostgresStore
from graph.adapters.queues import queue_of
from graph.adapters.registry import Registry
from graph.iam import token_maker, with_secret
from graph.runtime.engine import Runtime

# LangGraph reads it when it is first imported: a graph's state types, and no others, are built from
# what the database holds.
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The process's event loop: one for its life, for connections outlive an invocation."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    return made


@cache
def logger() -> Logger:
    """Structured logs of `baton` and all loggers below it."""
    return Logger(service="baton", level=settings().LOG_LEVEL)


@cache
def store() -> PostgresStore:
    env = settings()
    password = None
    if env.DATABASE_IAM:
        password = token_maker(env.DATABASE_URL)
    return PostgresStore(
        env.DATABASE_URL,
        stopped=env.BATON_STOPPED,
        password=password,
        prepares=env.DATABASE_PREPARES,
    )


def migration_url() -> str:
    """Where migrations run: Postgres itself, as its owner."""
    env = settings()
    url = env.MIGRATION_DATABASE_URL or env.DATABASE_URL
    if not env.MIGRATION_DATABASE_SECRET_ARN:
        return url
    return with_secret(url, env.MIGRATION_DATABASE_SECRET_ARN)


@cache
def runtime() -> Runtime:
    env = settings()
    registry = Registry(env.BATON_CONFIG)
    return Runtime(
        store=store(),
        queue=queue_of(env.QUEUE_URL),
        graphs=registry,
        max_attempts=env.BATON_MAX_ATTEMPTS,
        steps_per_invocation=env.BATON_STEPS_PER_INVOCATION,
        inline_seconds=env.BATON_INLINE_SECONDS,
        allowed_types=registry.allowed_types,
    )
