"""The only place that builds things, once per process."""

import asyncio
import os
from functools import cache

from aws_lambda_powertools import Logger

from functions.lazy_packages import make_lazy
from functions.log_lines import LogLines
from functions.settings import settings
from graph.adapters.connections import ApiGatewayConnections
from graph.adapters.long_term import LongTermStore
from graph.adapters.postgres import PostgresStore
from graph.adapters.queues import NotifyQueue, queue_of
from graph.adapters.registry import Registry
from graph.adapters.sealing import keys_of
from graph.adapters.webhook import WebhookPost
from graph.errors import BadProject
from graph.iam import password_maker, said_or_secret, with_secret
from graph.public_web import allowing
from graph.runtime.engine import Runtime
from graph.runtime.retention import Retention, default_ttl
from graph.runtime.warm import WarmThreads
from graph.runtime.webhooks import Mail, secrets_of

# LangGraph reads it when it is first imported: a graph's state types, and no others, are built from
# what the database holds.
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")

# LangGraph needs one class of each; together they load 290 modules, a quarter of a cold start.
LAZY_PACKAGES = ("langgraph_sdk", "langsmith.types")
# Pydantic models that only tracing and the OpenAPI document use.
LATE_MODELS = ("langsmith.schemas", "fastapi.openapi.models")
if os.environ.get("BATON_LAZY_IMPORTS") != "false":  # before it is imported, so not by settings()
    make_lazy(LAZY_PACKAGES, models_of=LATE_MODELS)


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The process's event loop: one for its life, for connections outlive an invocation."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    return made


@cache
def logger() -> Logger:
    """Structured logs of `baton` and all loggers below it."""
    level = settings().LOG_LEVEL
    return Logger(service="baton", level=level, logger_formatter=LogLines())


@cache
def store() -> PostgresStore:
    env = settings()
    url, iam, secret = env.DATABASE_URL, env.DATABASE_IAM, env.DATABASE_SECRET_ARN
    return PostgresStore(
        url,
        stopped=env.BATON_STOPPED,
        password=password_maker(url, iam=iam, secret_arn=secret),
        prepares=env.DATABASE_PREPARES,
        keys=keys_of(said_or_secret(env.ENCRYPTION_KEYS)),
    )


def migration_url() -> str:
    """Where migrations run: Postgres itself, as its owner."""
    env = settings()
    url = env.MIGRATION_DATABASE_URL or env.DATABASE_URL
    if not env.MIGRATION_DATABASE_SECRET_ARN:
        return url
    return with_secret(url, env.MIGRATION_DATABASE_SECRET_ARN)


def dims_of_embeddings() -> int | None:
    """Of those by which the long-term store finds items, if the project configures any."""
    index = Registry(settings().BATON_CONFIG).store_config.index
    return index.dims if index else None


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
        most_unfinished=env.BATON_UNFINISHED_RUNS,
        inline_seconds=env.BATON_INLINE_SECONDS,
        budget=env.BATON_BUDGET.model_dump(exclude_unset=True) if env.BATON_BUDGET else {},
        retention=Retention(
            keep=env.BATON_KEEP_CHECKPOINTS,
            ttl=default_ttl(registry.thread_ttl, env.BATON_THREAD_TTL_MINUTES),
        ),
        allowed_types=registry.allowed_types,
        warm=WarmThreads(env.BATON_CACHE_BYTES),
        long_term=LongTermStore(store().db.another(), registry.store_config),
        notices=NotifyQueue(queue_of(env.NOTIFY_QUEUE_URL)) if env.NOTIFY_QUEUE_URL else None,
    )


@cache
def mail() -> Mail:
    """How webhooks are written and sent; raises BadProject."""
    from functions.api.answers import run_json  # only webhooks need it here

    env = settings()
    try:
        post = WebhookPost(allowed=allowing(env.BATON_WEBHOOK_NETWORKS))
        return Mail(post, describe=run_json, secrets=secrets_of(env.BATON_WEBHOOK_SECRET))
    except ValueError as error:
        wrong = f"BATON_WEBHOOK_NETWORKS or BATON_WEBHOOK_SECRET: {error}"
        raise BadProject(f"the environment is not complete: {wrong}") from error


@cache
def gateway() -> ApiGatewayConnections | None:
    """The way to WebSocket connections, where there is one."""
    url = settings().WEBSOCKET_URL
    return ApiGatewayConnections(url) if url else None
