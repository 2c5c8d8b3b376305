"""Log-in to Postgres with IAM: no password anywhere, a token made at connect."""

from collections.abc import Callable

import boto3
from psycopg.conninfo import conninfo_to_dict


def token_maker(database_url: str) -> Callable[[], str]:
    """Makes tokens for the URL's host, port and user; each opens connections for 15 minutes."""
    target = conninfo_to_dict(database_url)
    client = boto3.client("rds")
    host, port, user = str(target["host"]), int(target.get("port") or 5432), str(target["user"])

    def token() -> str:
        made: str = client.generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user)
        return made

    return token
