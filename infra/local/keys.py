"""`baton keys`: API keys made, listed and ended, in the database itself."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import click

from graph.adapters.postgres import PostgresStore
from graph.errors import AgentError
from graph.runtime.keys import new_key
from graph.runtime.models import ApiKey
from infra.local.database import database_of, with_database

Found = TypeVar("Found")
Ask = Callable[[PostgresStore], Awaitable[Found]]


@click.group()
@with_database
@click.pass_context
def keys(context: click.Context, database_url: str | None, data: Path) -> None:
    """Make, list and end API keys, which count when BATON_AUTH is "keys"."""
    context.obj = (database_url, data)


@keys.command()
@click.argument("owner")
@click.option("--name", default="", help="What it is for, to tell it from the owner's others.")
@click.option("--days", type=click.FloatRange(0, 36500, min_open=True), help="It expires then.")
@click.pass_context
def create(context: click.Context, owner: str, name: str, days: float | None) -> None:
    """Make a key for OWNER and print it. Only its hash is kept: this is the one time it is seen."""
    try:
        text, key = new_key(owner, name=name, lasts=timedelta(days=days) if days else None)
    except AgentError as error:
        raise click.BadParameter(str(error), param_hint="OWNER") from error
    _ask(context, lambda store: store.add_key(key))
    click.echo(f"key {key.key_id} of {owner}", err=True)
    click.echo(text)


@keys.command(name="list")
@click.option("--owner", help="Only theirs.")
@click.pass_context
def list_(context: click.Context, owner: str | None) -> None:
    """Show the keys, oldest first."""
    for key in _ask(context, lambda store: store.list_keys(owner)):
        click.echo(_line(key))


@keys.command()
@click.argument("key_id")
@click.option("--in-hours", type=click.FloatRange(0, 876000), default=0.0, help="Not before then.")
@click.pass_context
def revoke(context: click.Context, key_id: str, in_hours: float) -> None:
    """End a key: processes that remember it go on for BATON_KEY_SECONDS."""
    ended = _ask(context, lambda store: store.end_key(key_id, after=in_hours * 3600))
    if ended is None:
        raise click.ClickException(f"there is no key {key_id}")
    click.echo(_line(ended))


def _line(key: ApiKey) -> str:
    until = f"until {_time(key.expires_at)}" if key.expires_at else "for good"
    used = f"used {_time(key.last_used_at)}" if key.last_used_at else "never used"
    parts = (key.key_id, key.owner, key.name or "-", f"made {_time(key.created_at)}", until, used)
    return "  ".join(parts)


def _time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M")


def _ask(context: click.Context, ask: Ask[Found]) -> Found:
    """What the database answers, over a connection of its own."""
    database_url, data = context.obj
    try:
        url = database_of(database_url, data)
        return asyncio.run(_asked(url, ask))
    except AgentError as error:
        raise click.ClickException(str(error)) from error


async def _asked(url: str, ask: Ask[Found]) -> Found:
    store = PostgresStore(url)
    try:
        return await ask(store)
    finally:
        await store.close()
