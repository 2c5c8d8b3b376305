"""Log-in to Postgres in AWS: IAM tokens for functions, the managed secret for migrations."""

import json
from collections.abc import Callable

from psycopg.conninfo import conninfo_to_dict, make_conninfo


def token_maker(database_url: str) -> Callable[[], str]:
    """Makes tokens for the URL's host, port and user; each opens connections for 15 minutes."""
    target = conninfo_to_dict(database_url)
    import boto3  # noqa: PLC0415 - loads late

    client = boto3.client("rds")
    host, port, user = str(target["host"]), int(target.get("port") or 5432), str(target["user"])

    def token() -> str:
        made: str = client.generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user)
        return made

    return token


def with_secret(database_url: str, secret_arn: str) -> str:
    """The URL with the user and password of a secret that RDS manages and rotates."""
    import boto3  # noqa: PLC0415 - loads late

    client = boto3.client("secretsmanager")
    secret = json.loads(client.get_secret_value(SecretId=secret_arn)["SecretString"])
    return make_conninfo(database_url, user=secret["username"], password=secret["password"])
