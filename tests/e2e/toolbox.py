"""What runs the functions here: the built bundle, Lambda's runtime client and its emulator."""

import json
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.build.bundle import UV, build, local_target

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".baton" / "e2e"
BUNDLE = ROOT / "dist" / "local"
# As in the managed runtime: the client, and the boto3 that the bundle leaves out.
CLIENT = ("awslambdaric==4.2.2", "boto3==1.44.5")
# It deploys, and carries the emulator's binary; its dependencies conflict with everybody's.
SAM = ("aws-sam-cli==1.170.0",)
# boto3 in the version that ministack's botocore allows: functions import it from here.
MINISTACK = ("ministack==1.5.33", "aws-sam-translator==1.115.0", "boto3==1.43.106")
# The last release without a token, with packages as they were then: newer ones break it.
LOCALSTACK = ("localstack-core[runtime]==4.14.0", "./tests/e2e/executor")
LOCALSTACK_OF = "2026-02-28"
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Toolbox:
    """Where everything is."""

    bundle: Path
    python: Path  # with the runtime client and boto3, and nothing else
    emulator: Path
    sam: Path
    ministack: Path

    @property
    def localstack(self) -> Path:
        """A Python that has it; installed when first asked for."""
        _install("localstack", LOCALSTACK, "--exclude-newer", LOCALSTACK_OF)
        return FOLDER / "localstack" / "bin" / "python"


def toolbox() -> Toolbox:
    """Build the bundle for this machine, and install the tools where they are not yet."""
    build(ROOT, BUNDLE, local_target())
    for name, packages in (("runtime", CLIENT), ("sam", SAM), ("ministack", MINISTACK)):
        _install(name, packages)
    machine = MACHINES[platform.machine().lower()]
    (site,) = (FOLDER / "sam" / "lib").glob("python*/site-packages")
    return Toolbox(
        bundle=BUNDLE,
        python=FOLDER / "runtime" / "bin" / "python",
        emulator=site / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{machine}",
        sam=FOLDER / "sam" / "bin" / "sam",
        ministack=FOLDER / "ministack" / "bin" / "ministack",
    )


def _install(name: str, packages: tuple[str, ...], *options: str) -> None:
    """Make an environment of its own, unless it is there with these packages."""
    interpreter, folder = str(local_target().interpreter), FOLDER / name
    wanted, stamp = json.dumps([interpreter, packages, options]), folder / "stamp.json"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    _uv("venv", "--python", interpreter, str(folder))
    python = str(folder / "bin" / "python")
    _uv("pip", "install", "--python", python, "--compile-bytecode", *options, *packages)
    stamp.write_text(wanted)


def _uv(*arguments: str) -> None:
    subprocess.run([str(UV), *arguments, "--quiet"], check=True, cwd=ROOT)
