"""Environments of the contestants that are not Baton: made once with uv, under .baton/bench."""

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.bench import ROOT, BenchmarkFailed, clean_env

HOME = ROOT / ".baton" / "bench"
INSTALLING = 300.0  # seconds
UV = Path(sys.executable).with_name("uv")


def same_versions(*packages: str) -> list[str]:
    """Requirements for the versions that Baton itself runs with."""
    return [f"{package}=={version(package.partition('[')[0])}" for package in packages]


def environment(name: str, requirements: Sequence[str], *, python: str = "") -> Path:
    """The interpreter of an environment with these packages; raises BenchmarkFailed."""
    folder = HOME / name
    interpreter, done = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "\n".join([python, *requirements])
    if done.exists() and done.read_text() == wanted:
        return interpreter
    base = _python(python) if python else sys.executable
    _uv("venv", "--quiet", "--clear", "--no-python-downloads", "--python", base, str(folder))
    _uv("pip", "install", "--quiet", "--python", str(interpreter), *requirements)
    done.write_text(wanted)
    return interpreter


def _python(wanted: str) -> str:
    """An interpreter on this machine; pyenv's count though they are not active."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(map(str, pyenv.glob("versions/*/bin")), reverse=True)
    path = os.pathsep.join([*found, os.environ.get("PATH", os.defpath)])
    return _uv("python", "find", "--no-python-downloads", wanted, path=path)


def _uv(*arguments: str, path: str | None = None) -> str:
    env = clean_env(**({"PATH": path} if path else {}))
    try:
        done = subprocess.run(
            [UV, *arguments],
            env=env,
            cwd=HOME.parent if HOME.parent.exists() else ROOT,
            capture_output=True,
            text=True,
            timeout=INSTALLING,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkFailed(f"uv {arguments[0]} took more than {INSTALLING:g} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise BenchmarkFailed(f"uv {arguments[0]}: {lines[-1].strip() if lines else 'failed'}")
    return done.stdout.strip()
