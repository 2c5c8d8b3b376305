"""An AWS account on this machine, and template.yaml deployed into it by the SAM CLI."""

import json
import re
import socket
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from langgraph_sdk import get_client

from tests.e2e.toolbox import ROOT, Toolbox

STACK = "baton"
STAGE = "dev"
REGION = "us-east-1"
PROJECT = Path(__file__).parents[1] / "fixtures" / "projects" / "legs"
UNSIGNED = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
DATABASE_OWNER = {"username": "postgres", "password": "unused, pgbouncer lets everybody in"}
MAX_ATTEMPTS = 2
BATCH_SIZE = 10
CONCURRENCY = 4


@dataclass(frozen=True, slots=True)
class Account:
    """What stands for AWS; `before` and `after` a deployment its gaps are dealt with."""

    endpoint: str
    api_path: str  # of an API's stage, with {api} and {stage}
    websocket: bool
    before: Callable[[Path], None]  # is given the folder of the staged template
    after: Callable[["Account", dict[str, str]], None]  # is given the stack's outputs

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @property
    def environment(self) -> dict[str, str]:
        """For programs that talk to AWS."""
        return {
            **UNSIGNED,
            "PATH": "/usr/bin:/bin",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
        }


@dataclass(frozen=True, slots=True)
class Deployed:
    """The stack, and how to get at what is in it."""

    account: Account
    url: str
    key: str
    outputs: dict[str, str]
    resources: dict[str, str]  # physical ids by logical id
    database: str

    def sdk(self) -> Any:
        """The unmodified client; a context manager."""
        return get_client(url=self.url, api_key=self.key)

    @property
    def sqs(self) -> Any:
        return self.account.client("sqs")


def deploy(it: Account, tools: Toolbox, folder: Path, *, direct: str, proxied: str) -> Deployed:
    """`sam deploy` with the profile for an existing database, and then the migrations."""
    named = {"Name": "baton-database", "SecretString": json.dumps(DATABASE_OWNER)}
    secret = it.client("secretsmanager").create_secret(**named)["ARN"]
    parameters = {
        "Profile": "existing",
        "DatabaseUrl": proxied,
        "MigrationDatabaseUrl": direct,
        "DatabaseSecret": secret.rpartition(":")[2],
        "Stage": STAGE,
        "StepTimeoutSeconds": "60",
        "StepBatchSize": str(BATCH_SIZE),
        "StepConcurrency": str(CONCURRENCY),
        "MaxAttempts": str(MAX_ATTEMPTS),
        "WebSocket": str(it.websocket).lower(),
    }
    stage = staged(tools, folder)
    it.before(stage)
    sam_deploy(it, tools, stage, parameters)
    stack = it.client("cloudformation")
    (found,) = stack.describe_stacks(StackName=STACK)["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}
    listed = stack.describe_stack_resources(StackName=STACK)["StackResources"]
    resources = {one["LogicalResourceId"]: one.get("PhysicalResourceId", "") for one in listed}
    it.after(it, outputs)
    invoke(it, outputs["MigrateFunctionName"], {})
    keys = it.client("apigateway").get_api_key(apiKey=resources["ApiApiKey"], includeValue=True)
    url = it.endpoint + it.api_path.format(api=api_of(outputs["ApiUrl"]), stage=STAGE)
    return Deployed(it, url, keys["value"], outputs, resources, direct)


def api_of(url: str) -> str:
    """The id that an API's address begins with."""
    return urlsplit(url).netloc.partition(".")[0]


def staged(tools: Toolbox, folder: Path) -> Path:
    """A folder in which template.yaml finds its bundle: the built one, with the tests' graphs."""
    stage = folder / "stage"
    (stage / "dist").mkdir(parents=True)
    (stage / "infra").mkdir()
    for template in (ROOT / "template.yaml", *(ROOT / "infra").glob("*.yaml")):
        (stage / template.relative_to(ROOT)).symlink_to(template)
    with zipfile.ZipFile(
        stage / "dist" / "bundle", "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as z:
        for path in sorted(tools.bundle.rglob("*")):
            if path.is_file() and path != tools.bundle / "langgraph.json":
                z.write(path, path.relative_to(tools.bundle))
        for path in PROJECT.glob("*.*"):
            z.write(path, path.name)
    return stage


def without_resources(template: str, names: set[str]) -> str:
    """A template's text without these of its resources."""
    head, resources, tail = re.split(r"(?m)^(?=Resources:|Outputs:)", template)
    blocks = re.findall(r"(?m)^  (\w+):\n((?:    .*\n|\n)+)", resources)
    assert names <= {name for name, _ in blocks}
    kept = "".join(f"  {name}:\n{body}" for name, body in blocks if name not in names)
    return f"{head}Resources:\n{kept}{tail}"


def rewrite(path: Path, text: str) -> None:
    """In the stage, where templates are links."""
    path.unlink()
    path.write_text(text)


def sam_deploy(it: Account, tools: Toolbox, stage: Path, parameters: dict[str, str]) -> None:
    """Package and deploy the template of a folder; what it says is shown when it fails."""
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    subprocess.run(
        [
            *(str(tools.sam), "deploy", "--template-file", "template.yaml"),
            *("--stack-name", STACK, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"),
            *("--no-confirm-changeset", "--no-progressbar", "--parameter-overrides", *overrides),
        ],
        cwd=stage,
        env={**it.environment, "HOME": str(stage), "SAM_CLI_TELEMETRY": "0"},
        check=True,
    )


def invoke(it: Account, function: str, event: Any) -> Any:
    """A function's answer; fails with what it says when it fails."""
    answer = it.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    said = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, said
    return said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
