"""The order of a deployment, against an account that only remembers what it was told."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.build.deploy import OUTPUT, Aws, Failed, deploy, stack_of
from tests.fixtures.around import around

ROOT = Path(__file__).resolve().parents[2]


class Account:
    """CloudFormation, Lambda and SAM in one; `told` is all that was asked of them, in order."""

    def __init__(self, *, deployed: bool, applied: list[str], fails: bool = False) -> None:
        self.deployed, self.applied, self.fails = deployed, applied, fails
        self.code = b""
        self.told: list[str] = []

    def aws(self) -> Aws:
        return Aws(self, self, self.sam)

    def sam(self, environment: str) -> None:
        self.told.append(f"sam {environment}")
        self.deployed = True

    def describe_stacks(self, *, StackName: str) -> Any:
        if not self.deployed:
            raise ClientError({"Error": {"Code": "ValidationError"}}, "DescribeStacks")
        return {"Stacks": [{"Outputs": [{"OutputKey": OUTPUT, "OutputValue": f"{StackName}-m"}]}]}

    def update_function_code(self, *, FunctionName: str, ZipFile: bytes) -> None:
        self.told.append(f"update {FunctionName}")
        self.code = ZipFile

    def get_waiter(self, name: str) -> Any:
        self.told.append(name)
        return self

    def wait(self, *, FunctionName: str) -> None:
        self.told.append(f"waited for {FunctionName}")

    def invoke(self, *, FunctionName: str) -> Any:
        self.told.append(f"invoke {FunctionName}")
        payload = {"errorMessage": "no"} if self.fails else {"applied": self.applied}
        answer: dict[str, Any] = {"Payload": io.BytesIO(json.dumps(payload).encode())}
        return {**answer, "FunctionError": "Unhandled"} if self.fails else answer


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "x.py").write_text("pass")
    return tmp_path


def test_the_first_deployment_migrates_last(bundle: Path) -> None:
    account = Account(deployed=False, applied=["0001_threads"])
    deploy(account.aws(), "baton-dev", "dev", bundle)
    assert account.told == ["sam dev", "invoke baton-dev-m"]


def test_later_ones_migrate_with_the_new_bundle_before_anything_else_changes(bundle: Path) -> None:
    account = Account(deployed=True, applied=[])
    deploy(account.aws(), "baton-dev", "dev", bundle)
    assert account.told == [
        "update baton-dev-m",
        "function_updated_v2",
        "waited for baton-dev-m",
        "invoke baton-dev-m",
        "sam dev",
    ]
    assert zipfile.ZipFile(io.BytesIO(account.code)).namelist() == ["functions/x.py"]


def test_a_failed_migration_ends_the_deployment(bundle: Path) -> None:
    account = Account(deployed=True, applied=[], fails=True)
    with pytest.raises(Failed, match="errorMessage"):
        deploy(account.aws(), "baton-dev", "dev", bundle)
    assert "sam dev" not in account.told


def test_a_missing_right_is_not_taken_for_a_first_deployment(bundle: Path) -> None:
    account = Account(deployed=True, applied=[])

    def denied(_: Any, **asked: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "DescribeStacks")

    around(account.describe_stacks, denied)
    with pytest.raises(ClientError, match="AccessDenied"):
        deploy(account.aws(), "baton-dev", "dev", bundle)
    assert account.told == []


def test_stacks_are_named_by_samconfig() -> None:
    assert stack_of(ROOT / "samconfig.toml", "prod") == "baton-prod"
    with pytest.raises(Failed, match="no environment 'nowhere'"):
        stack_of(ROOT / "samconfig.toml", "nowhere")
