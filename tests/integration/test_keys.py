"""`baton keys` against a real database."""

import asyncio

from click.testing import CliRunner

from graph.adapters.postgres import PostgresStore
from graph.runtime.keys import Keyring
from infra.local.cli import main


async def owner_of(url: str, text: str) -> str | None:
    store = PostgresStore(url)
    try:
        found = await Keyring(store).find(text)
        return found.owner if found else None
    finally:
        await store.close()


def baton(url: str, *arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(main, ["keys", "--database-url", url, *arguments])
    assert result.exit_code == status, result.output
    return result.output if status else result.stdout


def test_keys_are_made_rotated_and_ended(database_url: str) -> None:
    old = baton(database_url, "create", "acme", "--name", "blue").strip()
    new = baton(database_url, "create", "acme", "--days", "30").strip()
    assert asyncio.run(owner_of(database_url, old)) == "acme"

    key_id = old.split("_")[1]
    baton(database_url, "revoke", key_id)

    assert asyncio.run(owner_of(database_url, old)) is None
    assert asyncio.run(owner_of(database_url, new)) == "acme"
    listed = baton(database_url, "list", "--owner", "acme").splitlines()
    assert [line.split("  ")[:3] for line in listed] == [
        [key_id, "acme", "blue"],
        [new.split("_")[1], "acme", "-"],
    ]
    assert old not in "".join(listed)
    assert baton(database_url, "list", "--owner", "nobody") == ""


def test_what_cannot_be_done_is_said(database_url: str) -> None:
    assert "printable" in baton(database_url, "create", "", status=2)
    assert "there is no key 0000" in baton(database_url, "revoke", "0000", status=1)
    nowhere = "postgresql://127.0.0.1:1/nowhere"
    assert "cannot be reached" in baton(nowhere, "list", status=1)
