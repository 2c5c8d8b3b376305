"""What the stack's children find in their environment."""

from collections.abc import Mapping
from pathlib import Path

from graph.adapters.registry import Registry
from infra.local.children import python_env

REGION = "us-east-1"
UNSIGNED = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
DEFAULTS = {"BATON_CORS_ORIGINS": "*"}  # Studio and chat UIs are pages from elsewhere
MODEL_VARIABLES = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL")


def children_env(environ: Mapping[str, str], config: Path) -> dict[str, str]:
    """The stack's own environment over the project's, with what a loopback SQS needs."""
    env = {**DEFAULTS, **Registry(config).env, **environ, "BATON_CONFIG": str(config)}
    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL", "QUEUE_URL"):
        if name not in environ:  # the project's own are not meant for Baton
            env.pop(name, None)
    if not {"AWS_REGION", "AWS_DEFAULT_REGION"} & env.keys():
        env["AWS_DEFAULT_REGION"] = REGION
    if not _has_aws_keys(env):
        env |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    return python_env(env)


def _has_aws_keys(env: Mapping[str, str]) -> bool:
    if {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"} & env.keys():
        return True
    folder = Path(env.get("HOME", "/")) / ".aws"
    return (folder / "credentials").exists() or (folder / "config").exists()


def offline_model_env(env: Mapping[str, str], url: str) -> dict[str, str]:
    """The environment in which Anthropic's SDK talks to the offline model server."""
    return {**env, "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "offline"}


def names_a_model(env: Mapping[str, str]) -> bool:
    return any(env.get(name) for name in MODEL_VARIABLES)
