"""`make build`: dist/bundle, with exact contents, locked versions and bytecode for the runtime.

`--platform local --out dist/local` makes the same for this machine, where `make e2e` runs it.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click

RUNTIME = "3.13"
PLATFORM = "aarch64-manylinux_2_28"  # python3.13 runs on Amazon Linux 2023, glibc 2.34
MOUNTED_AT = "/var/task"
UNZIPPED_LIMIT = 250 * 1024 * 1024
BROUGHT_BY_THE_RUNTIME = ("boto3", "botocore", "s3transfer")
SOURCES = ("functions", "graph", "infra/__init__.py", "infra/migrations", "langgraph.json")
# The template verifies the proxy's certificate against this file.
ROOT_CERTIFICATES = "certifi/cacert.pem"

UV = Path(sys.executable).with_name("uv")


@dataclass(frozen=True, slots=True)
class Target:
    """What a bundle is made for."""

    python: str  # its version, "3.13"
    platform: str | None  # as uv names it; None is this machine
    interpreter: str | None  # of that version, to compile with
    extras: tuple[str, ...] = ()  # of pyproject.toml's optional dependencies


@click.command()
@click.option("--platform", type=click.Choice(["lambda", "local"]), default="lambda")
@click.option("--out", type=click.Path(path_type=Path), default=Path("dist/bundle"))
@click.option("--extra", multiple=True, help="Optional dependencies to take in, as `doors`.")
def main(platform: str, out: Path, extra: tuple[str, ...]) -> None:
    """Build the bundle of the project in the working directory; exit with one line on failure."""
    project = Path.cwd()
    target = lambda_target() if platform == "lambda" else local_target()
    target = replace(target, extras=extra)
    try:
        build(project, project / out, target)
    except (ValueError, OSError) as error:
        raise SystemExit(f"make build: {error}") from error
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"make build: `{error.cmd[0]}` failed, see above") from error
    report(project / out, target)


def lambda_target() -> Target:
    """What template.yaml deploys."""
    return Target(RUNTIME, PLATFORM, find_interpreter())


def local_target() -> Target:
    """This machine with the runtime's Python, or with ours where it has none."""
    if interpreter := find_interpreter():
        return Target(RUNTIME, None, interpreter)
    return Target(f"{sys.version_info.major}.{sys.version_info.minor}", None, sys.executable)


def build(project: Path, bundle: Path, target: Target) -> None:
    """Put a bundle where `bundle` says, in place of the last one; whole or not at all."""
    partial = bundle.with_name(f"{bundle.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    copy_sources(project, partial)
    install_packages(project, partial, target)
    if target.interpreter:
        compile_bytecode(target.interpreter, partial)
    check(partial)
    shutil.rmtree(bundle, ignore_errors=True)
    partial.rename(bundle)


def copy_sources(project: Path, bundle: Path) -> None:
    """Copy Baton's own code, and what langgraph.json's graphs live in, into the bundle.

    Raises ValueError for a graph outside the project.
    """
    for source in sorted({*SOURCES, *graph_roots(project)}):
        origin, copy = project / source, bundle / source
        copy.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, copy, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy2(origin, copy)


def graph_roots(project: Path) -> set[str]:
    """The top-level folders (or files) that the graphs and embeddings of langgraph.json are in."""
    config = json.loads((project / "langgraph.json").read_text())
    graphs = dict(config["graphs"])
    embed = ((config.get("store") or {}).get("index") or {}).get("embed", "")
    if ".py:" in embed:
        graphs["store.index.embed"] = embed
    roots = set()
    for name, entry in graphs.items():
        spec = entry["path"] if isinstance(entry, dict) else entry
        file = (project / spec.rpartition(":")[0]).resolve()
        if not file.is_relative_to(project.resolve()) or not file.is_file():
            raise ValueError(f"langgraph.json: graph {name!r} ({spec}) is no file of this project")
        roots.add(file.relative_to(project.resolve()).parts[0])
    return roots


def install_packages(project: Path, bundle: Path, target: Target) -> None:
    """Install the locked packages for the target, without what the runtime has."""
    locked = bundle.with_name("requirements.txt")
    platform = ("--python-platform", target.platform) if target.platform else ()
    pruned = [flag for name in BROUGHT_BY_THE_RUNTIME for flag in ("--prune", name)]
    run(
        *(str(UV), "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", *pruned),
        *(f"--extra={name}" for name in target.extras),
        *("--output-file", str(locked)),
        cwd=project,
    )
    run(
        *(str(UV), "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"),
        *(*platform, "--python-version", target.python, "--link-mode", "copy"),
        *("--target", str(bundle), "--requirements", str(locked)),
        cwd=project,
    )
    shutil.rmtree(bundle / "bin", ignore_errors=True)
    (bundle / ".lock").unlink(missing_ok=True)


def find_interpreter() -> str | None:
    """An interpreter of the runtime's version: on the PATH, uv's own, or pyenv's; else None."""
    environment = dict(os.environ)
    if shutil.which("pyenv"):
        latest = subprocess.run(["pyenv", "latest", RUNTIME], capture_output=True, text=True)
        environment["PYENV_VERSION"] = latest.stdout.strip() or "system"
    found = subprocess.run(
        [str(UV), "python", "find", "--no-python-downloads", RUNTIME],
        capture_output=True,
        text=True,
        env=environment,
    )
    return found.stdout.strip() or None


def compile_bytecode(interpreter: str, bundle: Path) -> None:
    """Compile everything, as it will be found once mounted; the runtime never looks at mtimes."""
    run(
        *(interpreter, "-m", "compileall", "-qq", "-j", "0"),
        *("--invalidation-mode", "unchecked-hash", "-s", str(bundle), "-p", MOUNTED_AT),
        str(bundle),
        check=False,  # packages carry templates and tests that were never meant to compile
    )


def check(bundle: Path) -> None:
    """Raise ValueError when the bundle could not be deployed, or not connect."""
    if not (bundle / ROOT_CERTIFICATES).is_file():
        raise ValueError(f"{ROOT_CERTIFICATES} is missing: no locked package brings certifi")
    size = size_of(bundle)
    if size > UNZIPPED_LIMIT:
        raise ValueError(f"the bundle has {megabytes(size)}, Lambda takes at most 250 MB")


def report(bundle: Path, target: Target) -> None:
    """Print the bundle's size, its ten biggest packages, and whether it holds bytecode."""
    for line in sizes(bundle):
        click.echo(line)
    if target.interpreter:
        click.echo(f"bytecode: compiled for Python {target.python}")
    else:
        click.echo(
            f"bytecode: none, for want of a Python {target.python}; cold starts take 2-3 x longer"
        )


def sizes(bundle: Path) -> Iterator[str]:
    """Lines that tell the bundle's size and its ten biggest packages."""
    of = {entry.name: size_of(entry) for entry in bundle.iterdir()}
    yield f"{os.path.relpath(bundle)}: {megabytes(sum(of.values()))} of 250 MB"
    for name in sorted(of, key=lambda name: of[name], reverse=True)[:10]:
        yield f"  {megabytes(of[name]):>9}  {name}"


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1024 / 1024:.1f} MB"


def run(*command: str, cwd: Path | None = None, check: bool = True) -> None:
    """Run a command and let it say on the terminal what is wrong."""
    subprocess.run(command, cwd=cwd, check=check)


if __name__ == "__main__":
    main()
