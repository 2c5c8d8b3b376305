"""What the stack's children find in their environment."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from infra.local.environment import children_env, names_a_model, offline_model_env

HOMELESS = {"HOME": "/nonexistent", "PATH": os.defpath}


def project(folder: Path, env: Any) -> Path:
    file = folder / "langgraph.json"
    file.write_text(json.dumps({"graphs": {"g": "./g.py:graph"}, "env": env}))
    return file


def test_the_projects_env_file_is_read_and_the_real_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COLOUR=red\nSIZE='very large'\nEMPTY\n")

    env = children_env({**HOMELESS, "COLOUR": "blue"}, project(tmp_path, ".env"))

    assert (env["COLOUR"], env["SIZE"]) == ("blue", "very large")
    assert "EMPTY" not in env
    assert env["BATON_CONFIG"] == str(tmp_path / "langgraph.json")


@pytest.mark.parametrize("env", [None, {}, "missing.env"])
def test_a_project_without_an_environment_is_fine(tmp_path: Path, env: Any) -> None:
    assert "COLOUR" not in children_env(HOMELESS, project(tmp_path, env))


def test_the_projects_own_database_is_not_taken_for_batons(tmp_path: Path) -> None:
    config = project(tmp_path, {"DATABASE_URL": "postgresql://shop", "SIZE": 3})

    assert "DATABASE_URL" not in children_env(HOMELESS, config)
    told = children_env({**HOMELESS, "DATABASE_URL": "postgresql://baton"}, config)
    assert (told["DATABASE_URL"], told["SIZE"]) == ("postgresql://baton", "3")


def test_a_loopback_sqs_gets_keys_only_where_there_are_none(tmp_path: Path) -> None:
    config = project(tmp_path, None)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").touch()

    assert children_env(HOMELESS, config)["AWS_ACCESS_KEY_ID"] == "local"
    assert children_env(HOMELESS, config)["AWS_DEFAULT_REGION"] == "us-east-1"
    assert "AWS_ACCESS_KEY_ID" not in children_env({**HOMELESS, "AWS_PROFILE": "me"}, config)
    assert "AWS_ACCESS_KEY_ID" not in children_env({"HOME": str(tmp_path)}, config)
    assert "AWS_DEFAULT_REGION" not in children_env({"AWS_REGION": "eu-north-1"}, config)


@pytest.mark.parametrize(
    "name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"]
)
def test_any_of_the_sdks_variables_names_a_model(name: str) -> None:
    assert names_a_model({name: "set"})
    assert not names_a_model({name: ""})


def test_the_offline_model_is_where_the_sdk_will_look() -> None:
    env = offline_model_env({"A": "1"}, "http://127.0.0.1:7")

    assert env["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:7"
    assert (env["ANTHROPIC_API_KEY"] != "", env["A"]) == (True, "1")


def test_any_page_may_call_the_local_api_unless_the_project_says_otherwise(tmp_path: Path) -> None:
    config = project(tmp_path, {})
    assert children_env(HOMELESS, config)["BATON_CORS_ORIGINS"] == "*"
    named = {**HOMELESS, "BATON_CORS_ORIGINS": "https://chat.example.com"}
    assert children_env(named, config)["BATON_CORS_ORIGINS"] == "https://chat.example.com"
