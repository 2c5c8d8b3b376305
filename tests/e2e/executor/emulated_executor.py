"""Runs each of LocalStack's environments as Lambda's runtime client under its emulator."""

import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import requests
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

PYTHON = "BATON_RUNTIME_PYTHON"  # has the runtime client and boto3
EMULATOR = "BATON_RUNTIME_EMULATOR"
NOTED = "BATON_RUNTIME_PIDS"  # a folder with a file for each emulator that runs, named by its pid
INVOKE = "2015-03-31/functions/function/invocations"
PATIENCE = 30.0


class Plugin(RuntimeExecutorPlugin):
    name = "emulator"

    def load(self, *args: Any, **kwargs: Any) -> type[RuntimeExecutor]:
        return EmulatedExecutor


class EmulatedExecutor(RuntimeExecutor):
    """One environment: an emulator and the runtime client that it starts."""

    def start(self, env_vars: dict[str, Any]) -> None:
        config = self.function_version.config
        self._address, theirs = _free_address(), _free_address()
        self._one_at_a_time = threading.Lock()  # three at once crash the emulator
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the environment
        where = ("--runtime-interface-emulator-address", self._address)
        command = [os.environ[EMULATOR], *where, "--runtime-api-address", theirs]
        code = config.code.get_unzipped_code_location()
        self._process = subprocess.Popen(
            [*command, os.environ[PYTHON], "-m", "awslambdaric", config.handler],
            cwd=code,
            env={
                **{name: str(value) for name, value in env_vars.items()},
                "PATH": "/usr/bin:/bin",
                "LAMBDA_TASK_ROOT": str(code),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._noted = Path(os.environ[NOTED]) / str(self._process.pid)
        self._noted.touch()  # LocalStack may be killed before it stops its environments
        _until_it_listens(self._address)

    def stop(self) -> None:
        """The emulator ends its runtime, which leads a process group of its own."""
        self._process.terminate()
        self._process.wait(10)
        self._noted.unlink(missing_ok=True)

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        with self._one_at_a_time:
            said = requests.post(
                f"http://{self._address}/{INVOKE}", data=payload["payload"].encode()
            )
        try:
            answer = said.json() if said.content else None
        except ValueError:  # "Task timed out", as a text
            answer = {"errorType": "Sandbox.Timedout", "errorMessage": said.text}
        failed = isinstance(answer, dict) and {"errorType", "errorMessage"} <= answer.keys()
        body = json.dumps(answer).encode()
        return InvocationResult(payload["invoke-id"], body, is_error=failed, logs=self.get_logs())

    def get_logs(self) -> str:
        size = self._log.seek(0, os.SEEK_END)
        return os.pread(self._log.fileno(), 4096, max(0, size - 4096)).decode(errors="replace")

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        return "http://127.0.0.1"  # for LocalStack's own init, which is not used

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        function_version.config.code.destroy_cached()


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _until_it_listens(address: str) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + PATIENCE
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        if time.monotonic() > deadline:
            raise TimeoutError("the emulator does not listen")
        time.sleep(0.02)
