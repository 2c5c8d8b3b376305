"""`make deploy ENV=dev`: the migrations, and then the code that needs them.

The migrate function alone gets the new bundle first and is invoked. The old code goes on meanwhile,
so a migration must leave room for it. A first deployment has no old code: it migrates last.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.build.bundle import UV

SAM = "aws-sam-cli==1.170.0"  # in an environment of its own: it conflicts with what Baton needs
OUTPUT = "MigrateFunctionName"
LONGEST_MIGRATION = 900  # seconds, the function's timeout


class Failed(Exception):
    """The deployment ends here; the message says what to look at."""


@dataclass(frozen=True, slots=True)
class Aws:
    """The account, as far as a deployment touches it."""

    cloudformation: Any
    functions: Any
    sam: Callable[[str], None]  # deploys an environment of samconfig.toml


@click.command()
@click.argument("environment")
def main(environment: str) -> None:
    """Deploy an environment of samconfig.toml; exit with one line on failure."""
    try:
        settings = Config(read_timeout=LONGEST_MIGRATION + 10, retries={"total_max_attempts": 1})
        aws = Aws(boto3.client("cloudformation"), boto3.client("lambda", config=settings), _sam)
        deploy(aws, stack_of(Path("samconfig.toml"), environment), environment, Path("dist/bundle"))
    except (Failed, BotoCoreError, ClientError) as error:
        raise SystemExit(f"make deploy: {error}") from error
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.returncode) from error


def stack_of(config: Path, environment: str) -> str:
    """The name of an environment's stack; raises Failed when there is no such environment."""
    environments = tomllib.loads(config.read_text())
    try:
        return str(environments[environment]["deploy"]["parameters"]["stack_name"])
    except (KeyError, TypeError):
        raise Failed(f"{config} has no environment {environment!r}") from None


def deploy(aws: Aws, stack: str, environment: str, bundle: Path) -> None:
    """Migrate and deploy, in this order, or the other way round the first time."""
    function = migrate_function(aws, stack)
    if function:
        update(aws, function, bundle)
        migrate(aws, function)
        aws.sam(environment)
        return
    aws.sam(environment)
    if not (function := migrate_function(aws, stack)):
        raise Failed(f"stack {stack} has no output {OUTPUT}: the migrations were not applied")
    migrate(aws, function)


def migrate_function(aws: Aws, stack: str) -> str | None:
    """The deployed migrate function; None before the first deployment."""
    try:
        (found,) = aws.cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":  # there is no such stack
            return None
        raise
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}
    return outputs.get(OUTPUT)


def update(aws: Aws, function: str, bundle: Path) -> None:
    """Give the function the new bundle."""
    click.echo(f"{function}: new code")
    aws.functions.update_function_code(FunctionName=function, ZipFile=zipped(bundle))
    aws.functions.get_waiter("function_updated_v2").wait(FunctionName=function)


def migrate(aws: Aws, function: str) -> None:
    """Apply the migrations; raises Failed when the function does."""
    answer = aws.functions.invoke(FunctionName=function)
    said = answer["Payload"].read().decode()
    if answer.get("FunctionError"):
        raise Failed(f"{function} failed, nothing else was changed by it: {said}")
    applied = json.loads(said)["applied"]
    click.echo(f"{function}: applied {', '.join(applied) or 'nothing, all is there'}")


def zipped(bundle: Path) -> bytes:
    """The bundle as Lambda takes it."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(bundle.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(bundle))
        file.seek(0)
        return file.read()


def _sam(environment: str) -> None:
    command = (str(UV), "tool", "run", "--from", SAM, "sam", "deploy", "--config-env", environment)
    subprocess.run(command, check=True, stdin=sys.stdin)


if __name__ == "__main__":
    main()
