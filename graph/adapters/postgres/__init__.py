"""The store in Postgres, behind RDS Proxy or pgbouncer: one statement per call."""

from graph.adapters.postgres.assistants import Assistants
from graph.adapters.postgres.calls import Calls
from graph.adapters.postgres.census import Counts
from graph.adapters.postgres.checkpoints import CheckpointRows
from graph.adapters.postgres.crons import Crons
from graph.adapters.postgres.database import Database, Password
from graph.adapters.postgres.events import Events
from graph.adapters.postgres.keys import Keys
from graph.adapters.postgres.runs import Runs
from graph.adapters.postgres.sockets import Sockets
from graph.adapters.postgres.steps import Steps
from graph.adapters.postgres.sweep import Sweep
from graph.adapters.postgres.threads import Threads
from graph.adapters.postgres.webhooks import Webhooks
from graph.adapters.sealing import NO_KEYS, Seals
from graph.adapters.sealing import Keys as EncryptionKeys

__all__ = ["Database", "PostgresStore"]


class PostgresStore(
    Steps,
    Events,
    CheckpointRows,
    Threads,
    Runs,
    Assistants,
    Crons,
    Sweep,
    Webhooks,
    Sockets,
    Keys,
    Calls,
    Counts,
):
    """Every statement of the store over one connection, opened on first use.

    `stopped` is the kill switch: while it is on no step is claimed, and nothing is lost. `prepares`
    saves Postgres the parsing and planning, where no proxy is in between. `keys` seal what users
    said.
    """

    def __init__(
        self,
        database_url: str,
        *,
        stopped: bool = False,
        password: Password | None = None,
        prepares: bool = False,
        keys: EncryptionKeys = NO_KEYS,
    ) -> None:
        super().__init__(
            Database(database_url, password=password, prepares=prepares, seals=Seals(keys))
        )
        self.stopped = stopped

    async def close(self) -> None:
        await self.db.close()
