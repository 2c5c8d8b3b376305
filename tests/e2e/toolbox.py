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
# Only the emulator's binary is wanted of it; its dependencies conflict with everybody's.
EMULATOR = "aws-sam-cli==1.170.0"
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Toolbox:
    """Where everything is."""

    bundle: Path
    python: Path  # with the runtime client and boto3, and nothing else
    emulator: Path


def toolbox() -> Toolbox:
    """Build the bundle for this machine, and install the tools where they are not yet."""
    target = local_target()
    build(ROOT, BUNDLE, target)
    wanted = json.dumps([target.interpreter, CLIENT, EMULATOR])
    stamp = FOLDER / "stamp.json"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(FOLDER, ignore_errors=True)
        _install(str(target.interpreter))
        stamp.write_text(wanted)
    machine = MACHINES[platform.machine().lower()]
    emulator = FOLDER / "sam" / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{machine}"
    return Toolbox(BUNDLE, FOLDER / "runtime" / "bin" / "python", emulator)


def _install(interpreter: str) -> None:
    runtime = FOLDER / "runtime"
    _uv("venv", "--python", interpreter, str(runtime))
    _uv(
        "pip", "install", "--python", str(runtime / "bin" / "python"), "--compile-bytecode", *CLIENT
    )
    sam = str(FOLDER / "sam")
    _uv("pip", "install", "--python", interpreter, "--no-deps", "--target", sam, EMULATOR)


def _uv(*arguments: str) -> None:
    subprocess.run([str(UV), *arguments, "--quiet"], check=True, cwd=ROOT)
