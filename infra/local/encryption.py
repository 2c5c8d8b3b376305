"""`baton encryption`: keys that seal what users said, and everything sealed anew."""

import asyncio
from collections import Counter
from pathlib import Path

import click

from graph.adapters.postgres import PostgresStore
from graph.adapters.sealing import Keys, keys_of
from graph.adapters.sealing.keys import new_key
from graph.adapters.sealing.rotation import Walked, rotate
from graph.errors import AgentError
from graph.iam import said_or_secret
from infra.local.database import database_of, with_database

with_keys = click.option(
    "--encryption-keys", envvar="ENCRYPTION_KEYS", default="", help="Or a secret's ARN."
)


def keys_said(said: str) -> Keys:
    """Raises BadProject."""
    return keys_of(said_or_secret(said))


@click.group()
def encryption() -> None:
    """Encrypt what users said: make keys, and seal with the first what older ones sealed."""


@encryption.command()
@click.argument("key_id")
def key(key_id: str) -> None:
    """Make a key and print it, as an entry for ENCRYPTION_KEYS."""
    try:
        click.echo(new_key(key_id))
    except AgentError as error:
        raise click.BadParameter(str(error), param_hint="KEY_ID") from error


@encryption.command(name="rotate")
@with_database
@with_keys
def rotate_(database_url: str | None, data: Path, encryption_keys: str) -> None:
    """Seal all that is stored with the first of ENCRYPTION_KEYS; "plain" there opens all of it.

    Beside running functions, which must have these keys already. What was killed goes on when it is
    run again. Exits with 1 while a row is left that another key sealed: that key must stay.
    """
    try:
        keys = keys_said(encryption_keys)
        if not keys.secrets:
            raise click.UsageError("there are no keys: set ENCRYPTION_KEYS, or --encryption-keys")
        url = database_of(database_url, data)
        left = asyncio.run(_rotated(url, keys))
    except AgentError as error:
        raise click.ClickException(str(error)) from error
    for key_id, rows in sorted(left.items()):
        click.echo(f"left: {rows} rows, {key_id}")
    if left:
        raise click.ClickException("run it again; rows that stay need the key that they are of")


async def _rotated(url: str, keys: Keys) -> Counter[str]:
    """What is left by key, told on the way by table."""
    store, left = PostgresStore(url, keys=keys), Counter[str]()
    try:
        last: Walked | None = None
        async for walked in rotate(store.db):
            if last and last.table != walked.table:
                _tell(last, left)
            last = walked
        if last:
            _tell(last, left)
    finally:
        await store.close()
    return left


def _tell(walked: Walked, left: Counter[str]) -> None:
    click.echo(f"{walked.table}: {walked.changed} sealed anew, {walked.left.total()} left")
    left.update(walked.left)
