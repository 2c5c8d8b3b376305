"""An account of LocalStack 4.14 without Docker, and what it cannot do."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.account import REGION, Account, free_port, listens, rewrite, without_resources
from tests.e2e.toolbox import Toolbox
from tests.fixtures.daemon import Command, daemon

LACKING = {"Dashboard", "LostClaims", "Spend", "RateLimits"}
UNKNOWN = re.compile(r"^ +(ResponseTransferMode|TimeoutInMillis): .*\n", re.MULTILINE)


@contextlib.contextmanager
def localstack(tools: Toolbox, folder: Path) -> Iterator[Account]:
    """An empty account, whose functions run under Lambda's emulator; all end with the block."""
    port = free_port()
    here = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "FILESYSTEM_ROOT": str(folder / "files"),
        "OVERRIDE_IN_DOCKER": "0",
        "GATEWAY_LISTEN": f"[::ffff:127.0.0.1]:{port}",  # an IPv4 address it takes for any
        "LOCALSTACK_HOST": f"127.0.0.1:{port}",
        "SQS_ENDPOINT_STRATEGY": "path",
        "AWS_DEFAULT_REGION": REGION,
        "DNS_ADDRESS": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        # Its newer engine knows no resources that only SAM's transform makes.
        "PROVIDER_OVERRIDE_CLOUDFORMATION": "engine-legacy",
        "LAMBDA_RUNTIME_EXECUTOR": "emulator",
        "BATON_RUNTIME_PYTHON": str(tools.python),
        "BATON_RUNTIME_EMULATOR": str(tools.emulator),
    }
    environments = folder / "environments"
    environments.mkdir()
    here["BATON_RUNTIME_PIDS"] = str(environments)
    settings = [f"{name}={value}" for name, value in here.items()]
    module = (tools.localstack, "-m", "localstack.runtime.main")
    command: Command = ["/usr/bin/env", "-i", *settings, *module]
    with daemon(command, user=None, cwd=folder, stop=signal.SIGTERM) as running:
        running.until(lambda: listens(port), seconds=90)
        path = "/_aws/execute-api/{api}/{stage}"
        url = f"http://127.0.0.1:{port}"
        try:
            yield Account(url, path, websocket=False, before=simplified, after=as_it_is)
        finally:
            end(environments, tools.emulator)


def end(environments: Path, emulator: Path) -> None:
    """End the emulators that are noted, each by its pid, if it is still one."""
    for noted in environments.iterdir():
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{noted.name}/cmdline").read_bytes()
            if command.startswith(bytes(emulator)):
                os.kill(int(noted.name), signal.SIGTERM)


def as_it_is(it: Account, outputs: dict[str, str]) -> None:
    """What was deployed needs no help."""


def simplified(stage: Path) -> None:
    with_simpler_alarms(stage)
    without_streamed_answers(stage)


def without_streamed_answers(stage: Path) -> None:
    """Its SAM transform reads events of a function that is not made, and does not know them."""
    path = stage / "template.yaml"
    rewrite(path, UNKNOWN.sub("", path.read_text()))


def with_simpler_alarms(stage: Path) -> None:
    """No percentiles, no thresholds by parameter, no metrics out of logs and no dashboard."""
    path = stage / "infra" / "monitoring.yaml"
    text = without_resources(path.read_text(), LACKING)
    text = text.replace("ExtendedStatistic: p99", "Statistic: Maximum")
    rewrite(path, re.sub(r"Threshold: !Ref \w+", "Threshold: 1000", text))
