"""Log-in by IAM: a token for each connection, made without asking anybody."""

import socket
import threading

import psycopg
import pytest

from graph.agents import database
from graph.iam import token_maker

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
