"""The database that a command works on: one that is named, or that of a `baton dev` that runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from infra.local.children import CannotStart
from infra.local.cluster import cluster_in
from infra.local.postgres import DATABASE

FOLDER = click.Path(file_okay=False, path_type=Path)
PORT = 3  # the line of Postgres' own file that says where it listens


def with_database(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command `database_url` and `data`, which `database_of` takes."""
    url = click.option("--database-url", envvar="DATABASE_URL", help="[default: of `baton dev`]")
    data = click.option(
        "--data", type=FOLDER, default=".baton", help="Where `baton dev` keeps its data."
    )
    return url(data(command))


def database_of(database_url: str | None, data: Path) -> str:
    """Its URL; raises CannotStart when none is named and no `baton dev` runs on the folder."""
    if database_url:
        return database_url
    folder = data.resolve()
    absent = CannotStart(
        f"no database runs in {folder}: start `baton dev` there, or name one with --database-url"
    )
    if not (folder / "postgres.password").exists():
        raise absent
    cluster = cluster_in(folder)
    try:
        lines = (cluster.data / "postmaster.pid").read_text().splitlines()
        return replace(cluster, port=int(lines[PORT])).url(DATABASE)
    except (FileNotFoundError, IndexError):  # it has stopped, or only just begins
        raise absent from None
