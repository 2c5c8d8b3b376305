"""Log-in to Postgres: a token or a secret for each connection."""

import datetime
import json
import socket
import threading

import boto3
import botocore.auth
import psycopg
import pytest
from moto import mock_aws
from psycopg.conninfo import conninfo_to_dict

from graph.agents import database
from graph.iam import password_maker, said_or_secret, token_maker, with_secret

URL = "postgresql://baton@proxy.example:5432/baton"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


def test_a_token_is_for_the_urls_host_port_and_user() -> None:
    token = token_maker(URL)()
    assert token.startswith("proxy.example:5432/?")
    assert "DBUser=baton" in token
    assert "X-Amz-Signature=" in token


def test_a_token_is_the_one_that_boto3_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now)
    asked = {"DBHostname": "proxy.example", "Port": 5432, "DBUsername": "baton"}

    assert token_maker(URL)() == boto3.Session().client("rds").generate_db_auth_token(**asked)


@pytest.mark.parametrize("iam", ["true", "false"])
async def test_the_agents_log_in_by_token_where_the_functions_do(
    monkeypatch: pytest.MonkeyPatch, iam: str
) -> None:
    monkeypatch.setenv("DATABASE_IAM", iam)
    said: list[bytes] = []

    def server(listening: socket.socket) -> None:
        """Asks for a password in clear text and notes the answer."""
        client, _ = listening.accept()
        with client:
            client.recv(4096)
            client.sendall(b"R\x00\x00\x00\x08\x00\x00\x00\x03")
            said.append(client.recv(8192))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server, args=(listening,))
        thread.start()
        port = listening.getsockname()[1]
        url = f"postgresql://baton@127.0.0.1:{port}/x?sslmode=disable&gssencmode=disable"
        with pytest.raises(psycopg.OperationalError):
            await database.connect(url)
        thread.join()
    assert (b"X-Amz-Signature" in said[0]) == (iam == "true")


def test_a_setting_is_a_text_or_the_secret_that_its_arn_names() -> None:
    assert said_or_secret("k1:text") == "k1:text"
    with mock_aws():
        made = boto3.client("secretsmanager").create_secret(Name="keys", SecretString="k1:secret")
        assert said_or_secret(made["ARN"]) == "k1:secret"


def test_without_iam_and_without_a_secret_the_url_says_everything() -> None:
    assert password_maker(URL, iam=False, secret_arn="") is None


def test_a_secret_is_read_at_each_log_in_for_it_is_rotated() -> None:
    with mock_aws():
        secrets = boto3.client("secretsmanager")
        owner = {"username": "owner", "password": "first"}
        arn = secrets.create_secret(Name="db", SecretString=json.dumps(owner))["ARN"]
        ask = password_maker(URL, iam=False, secret_arn=arn)
        assert ask is not None
        before = ask()
        secrets.put_secret_value(SecretId=arn, SecretString=json.dumps(owner | {"password": "2nd"}))
        after, url = ask(), with_secret(URL, arn)

    assert (before, after) == ("first", "2nd")
    assert conninfo_to_dict(url) == {
        "user": "owner",
        "password": "2nd",
        "host": "proxy.example",
        "port": "5432",
        "dbname": "baton",
    }
