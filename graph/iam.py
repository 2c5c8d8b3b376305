"""Secrets in AWS; log-in to Postgres by an IAM token, or with one that RDS makes and rotates."""

import json
from collections.abc import Callable

from psycopg.conninfo import conninfo_to_dict, make_conninfo

TOKEN_SECONDS = 900


def password_maker(database_url: str, *, iam: bool, secret_arn: str) -> Callable[[], str] | None:
    """What a new connection asks for its password; None when the URL says all that is needed."""
    if iam:
        return token_maker(database_url)
    if secret_arn:
        return lambda: _secret(secret_arn)["password"]
    return None


def token_maker(database_url: str) -> Callable[[], str]:
    """Makes tokens for the URL's host, port and user; each opens connections for 15 minutes.

    As boto3's client for RDS makes them, without the time that this client takes to be made.
    """
    target = conninfo_to_dict(database_url)
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.session import get_session

    session = get_session()
    region, credentials = session.get_config_variable("region"), session.get_credentials()
    host, port = str(target["host"]), int(target.get("port") or 5432)
    asked = {"Action": "connect", "DBUser": str(target["user"])}

    def token() -> str:
        request = AWSRequest("GET", f"https://{host}:{port}/", params=asked)
        SigV4QueryAuth(credentials, "rds-db", region, expires=TOKEN_SECONDS).add_auth(request)
        url: str = request.prepare().url
        return url.removeprefix("https://")

    return token


def with_secret(database_url: str, secret_arn: str) -> str:
    """The URL with the user and password of a secret."""
    secret = _secret(secret_arn)
    return make_conninfo(database_url, user=secret["username"], password=secret["password"])


def said_or_secret(said: str) -> str:
    """A setting's text, or the secret whose ARN it is."""
    return _secret_text(said) if said.startswith("arn:") else said


def _secret(secret_arn: str) -> dict[str, str]:
    secret: dict[str, str] = json.loads(_secret_text(secret_arn))
    return secret


def _secret_text(secret_arn: str) -> str:
    import boto3

    found = boto3.client("secretsmanager").get_secret_value(SecretId=secret_arn)
    text: str = found["SecretString"]
    return text
