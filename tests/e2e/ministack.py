"""An account of ministack, and what it cannot do."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.account import (
    BATCH_SIZE,
    CONCURRENCY,
    REGION,
    STAGE,
    UNSIGNED,
    Account,
    api_of,
    free_port,
    listens,
    rewrite,
    without_resources,
)
from tests.e2e.toolbox import Toolbox
from tests.fixtures.daemon import Command, daemon


@contextlib.contextmanager
def ministack(tools: Toolbox, folder: Path) -> Iterator[Account]:
    """An empty account; it and everything that runs in it end with the block."""
    port = free_port()
    here = {
        **UNSIGNED,
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "AWS_DEFAULT_REGION": REGION,
        "BIND_HOST": "127.0.0.1",  # its default is every interface
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # it would open a port of its own
        "LAMBDA_EXECUTOR": "local",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    settings = [f"{name}={value}" for name, value in here.items()]
    command: Command = ["/usr/bin/env", "-i", *settings, tools.ministack]
    with daemon(command, user=None, cwd=folder, stop=signal.SIGTERM) as running:
        running.until(lambda: listens(port))
        path = "/restapis/{api}/{stage}/_user_request_"
        url = f"http://127.0.0.1:{port}"
        yield Account(url, path, websocket=True, before=without_deployments, after=mend)


def without_deployments(stage: Path) -> None:
    """WebSocket APIs have neither deployments nor route responses; they work without."""
    path = stage / "infra" / "websocket.yaml"
    less = without_resources(path.read_text(), {"Deployment", "FrameResponse"})
    rewrite(path, less.replace("      DeploymentId: !Ref Deployment\n", ""))


def mend(it: Account, outputs: dict[str, str]) -> None:
    _numbers_are_numbers(it)
    _any_method_is_any(it, api_of(outputs["ApiUrl"]))
    _connections_are_here(it, websocket_path(outputs))


def websocket_path(outputs: dict[str, str]) -> str:
    return f"/_aws/execute-api/{api_of(outputs['WebSocketUrl'])}/{STAGE}"


def _connections_are_here(it: Account, path: str) -> None:
    """The address of @connections is the emulator's instead of AWS's."""
    functions = it.client("lambda")
    (notify,) = (
        one["FunctionName"]
        for one in functions.list_functions()["Functions"]
        if one["Handler"] == "functions/notify/handler.handler"
    )
    told = functions.get_function_configuration(FunctionName=notify)["Environment"]["Variables"]
    variables = {**told, "WEBSOCKET_URL": it.endpoint + path}
    functions.update_function_configuration(
        FunctionName=notify, Environment={"Variables": variables}
    )


def _numbers_are_numbers(it: Account) -> None:
    """Numbers that came by a parameter stay text, at which its poller fails."""
    functions = it.client("lambda")
    for source in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.update_event_source_mapping(
            UUID=source["UUID"],
            BatchSize=BATCH_SIZE,
            ScalingConfig={"MaximumConcurrency": CONCURRENCY},
        )


def _any_method_is_any(it: Account, api: str) -> None:
    """Methods that SAM writes as ANY are left out; they are those of OPTIONS, with the key."""
    gateway = it.client("apigateway")
    resources = gateway.get_resources(restApiId=api)["items"]
    (proxy,) = (one["id"] for one in resources if one["path"] == "/{proxy+}")
    where = {"restApiId": api, "resourceId": proxy}
    options = gateway.get_integration(**where, httpMethod="OPTIONS")
    gateway.put_method(**where, httpMethod="ANY", authorizationType="NONE", apiKeyRequired=True)
    gateway.put_integration(
        **where,
        httpMethod="ANY",
        type=options["type"],
        integrationHttpMethod="POST",
        uri=options["uri"],
    )
    gateway.create_deployment(restApiId=api, stageName=STAGE)
