"""template.yaml: valid, and the promises that no linter knows of."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from functions.api.following.segments import LINE
from functions.api.routes.streams import RUN
from functions.api.routes.thread_streams import ALL_RUNS
from functions.settings import Settings
from graph.llm.settings import ModelSettings

ROOT = Path(__file__).resolve().parents[2]
READ_BY_BOTOCORE = {"AWS_USE_DUALSTACK_ENDPOINT", "AWS_ENDPOINT_URL_SQS"}
READ_BY_THE_ADAPTER = {
    "AWS_LAMBDA_EXEC_WRAPPER",
    "AWS_LWA_INVOKE_MODE",
    "AWS_LWA_PORT",
    "AWS_LWA_READINESS_CHECK_PATH",
}
READ_BY_ANTHROPIC = {"ANTHROPIC_BASE_URL", "ANTHROPIC_AWS_WORKSPACE_ID"}
STARTED_BY_THE_ADAPTER = "functions/stream/run.sh"
LEFT_AT_THEIR_DEFAULTS = {
    "BATON_CACHE_BYTES": "an eighth of the smallest memory",
    "BATON_CONFIG": "the bundle's own, in the working directory",
    "BATON_METRICS_TOKEN": "in an account CloudWatch tells the same",
    "BATON_WEBHOOK_NETWORKS": "webhooks go to the internet only",
    "BATON_KEY_SECONDS": "how soon a revoked key must be dead is no matter of the stack",
    "BATON_REQUEST_BURST": "goes with the rate",
    "BATON_THREAD_TTL_MINUTES": "langgraph.json says it",
    "BATON_INLINE_SECONDS": "fits the gateway's 29 s",
    "BATON_LAZY_IMPORTS": "off only where a package minds",
    "BATON_MAX_BODY_BYTES": "half of what API Gateway lets through",
    "BATON_SEGMENT_SECONDS": "fits the gateway's 29 s",
    "BATON_WAIT_SECONDS": "fits the gateway's 29 s",
    "DATABASE_PREPARES": "never behind a proxy",
}
MODELS_LEFT_AT_THEIR_DEFAULTS = {
    "BATON_MODEL_FALLBACK_AFTER": "goes with the fallback",
    "BATON_MODEL_FAILURES": "hours of patience",
    "BATON_MODEL_RESERVE": "goes with the limits",
    "ANTHROPIC_API_KEYS": "keys are in a secret, never in an environment",
}


class CloudFormation(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Ref X` becomes {"Ref": "X"}."""

    def short_form(self, name: str, node: yaml.Node) -> dict[str, Any]:
        """The long form of a tagged node."""
        key = name if name in ("Ref", "Condition") else f"Fn::{name}"
        if isinstance(node, yaml.ScalarNode):
            return {key: self.construct_scalar(node)}
        if isinstance(node, yaml.SequenceNode):
            return {key: self.construct_sequence(node, deep=True)}
        assert isinstance(node, yaml.MappingNode)
        return {key: self.construct_mapping(node, deep=True)}


CloudFormation.add_multi_constructor("!", CloudFormation.short_form)

PATHS = ["template.yaml", *sorted(f"infra/{path.name}" for path in (ROOT / "infra").glob("*.yaml"))]
TEMPLATES: dict[str, dict[str, Any]] = {
    path: yaml.load((ROOT / path).read_text(), CloudFormation) for path in PATHS
}
TEMPLATE = TEMPLATES["template.yaml"]
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
NESTED = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::CloudFormation::Stack"
}
MONITORING = TEMPLATES["infra/monitoring.yaml"]
# Connections get their names when they are made.
ONLY_WILDCARD = "POST/@connections/*"
ALARMS = {
    name: resource["Properties"]
    for name, resource in MONITORING["Resources"].items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}
SAMCONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
GIGABYTES = {"db.t4g.micro": 1, "db.t4g.medium": 4}
BYTES_PER_CONNECTION = 9_531_392  # max_connections of RDS for PostgreSQL by default
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "localstack-compose.yml").read_text())


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Properties of the resources of one type, by logical id."""
    return {k: r["Properties"] for k, r in RESOURCES.items() if r["Type"] == kind}


FUNCTIONS = of_type("AWS::Serverless::Function")
QUEUES = of_type("AWS::SQS::Queue")


def statements(node: Any) -> Iterator[dict[str, Any]]:
    """Every policy statement below a node of the template."""
    if isinstance(node, dict):
        if "Effect" in node:
            yield node
        for child in node.values():
            yield from statements(child)
    elif isinstance(node, list):
        for child in node:
            yield from statements(child)


def as_list(value: Any) -> list[Any]:
    """IAM lets a list of one be written without brackets."""
    return value if isinstance(value, list) else [value]


def test_cfn_lint_finds_nothing() -> None:
    lint = [str(Path(sys.executable).with_name("cfn-lint")), *PATHS]
    found = subprocess.run(lint, cwd=ROOT, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, ""), found.stdout + found.stderr


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"StreamFunction"}))
def test_every_handler_names_a_function_that_exists(name: str) -> None:
    module, _, attribute = FUNCTIONS[name]["Handler"].rpartition(".")
    tree = ast.parse((ROOT / f"{module}.py").read_text())
    assert attribute in set(module_names(tree))


def module_names(tree: ast.Module) -> Iterator[str]:
    """Names that a module defines at its top level."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_has_its_folder_its_log_group_and_the_one_bundle(name: str) -> None:
    function = FUNCTIONS[name]
    folder = name.removesuffix("Function").lower()
    group = function["LoggingConfig"]["LogGroup"]["Ref"]
    python = f"functions/{folder}/handler.handler"
    assert function["Handler"] == (STARTED_BY_THE_ADAPTER if folder == "stream" else python)
    assert function["CodeUri"] == "dist/bundle"
    assert "RetentionInDays" in of_type("AWS::Logs::LogGroup")[group]


def test_a_step_is_invisible_for_six_times_as_long_as_it_may_run() -> None:
    offered = TEMPLATE["Parameters"]["StepTimeoutSeconds"]["AllowedValues"]
    visibility = {k: v["Visibility"] for k, v in TEMPLATE["Mappings"]["StepTimeout"].items()}
    assert set(visibility) == set(offered)
    assert all(6 * int(timeout) <= visibility[timeout] <= 43200 for timeout in offered)
    assert FUNCTIONS["StepFunction"]["Timeout"] == {"Ref": "StepTimeoutSeconds"}
    assert QUEUES["StepQueue"]["VisibilityTimeout"] == {
        "Fn::FindInMap": ["StepTimeout", {"Ref": "StepTimeoutSeconds"}, "Visibility"]
    }


def test_the_step_function_reports_partial_failures_and_bounds_its_concurrency() -> None:
    source = FUNCTIONS["StepFunction"]["Events"]["Queue"]["Properties"]
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["ScalingConfig"]["MaximumConcurrency"] == {"Ref": "StepConcurrency"}


@pytest.mark.parametrize("name", sorted(QUEUES))
def test_every_queue_is_encrypted_speaks_tls_only_and_has_dead_letters(name: str) -> None:
    by_sqs, by_key = QUEUES[name]["SqsManagedSseEnabled"], QUEUES[name]["KmsMasterKeyId"]
    assert by_sqs == {"Fn::If": ["WithKey", {"Ref": "AWS::NoValue"}, True]}
    assert by_key == {"Fn::If": ["WithKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]}
    policies = [
        p for p in of_type("AWS::SQS::QueuePolicy").values() if {"Ref": name} in p["Queues"]
    ]
    assert len(policies) == 1  # a queue has one policy: the last one written wins
    denied = [s for s in statements(policies[0]) if s["Effect"] == "Deny"]
    assert [s["Condition"] for s in denied] == [{"Bool": {"aws:SecureTransport": "false"}}]
    assert {"Fn::GetAtt": f"{name}.Arn"} in as_list(denied[0]["Resource"])
    assert "RedrivePolicy" in QUEUES[name] or name.endswith("DeadLetters")


def test_no_policy_allows_a_wildcard() -> None:
    allowed = [s for t in TEMPLATES.values() for s in statements(t) if s["Effect"] == "Allow"]
    assert len(allowed) > 10
    for statement in allowed:
        actions, resources = as_list(statement["Action"]), as_list(statement.get("Resource", ""))
        assert not [action for action in actions if "*" in action], statement
        wild = [str(resource).replace(ONLY_WILDCARD, "") for resource in resources]
        assert not [resource for resource in wild if "*" in resource], statement


def test_the_api_cannot_be_called_without_a_key() -> None:
    auth = RESOURCES["Api"]["Properties"]["Auth"]
    assert auth["ApiKeyRequired"] is True
    assert auth["UsagePlan"]["CreateUsagePlan"] == "PER_API"
    events = [FUNCTIONS[name]["Events"].values() for name in ("ApiFunction", "StreamFunction")]
    for event in chain.from_iterable(events):
        asked = event["Properties"].get("Auth", {}).get("ApiKeyRequired", True)
        assert asked is (event["Properties"]["Method"] != "OPTIONS")


def test_the_template_sets_what_settings_read_and_nothing_else() -> None:
    everywhere = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    own = [f.get("Environment", {}).get("Variables", {}) for f in FUNCTIONS.values()]
    given = set(everywhere).union(*own)
    of_models = set(ModelSettings.model_fields)
    others = READ_BY_BOTOCORE | READ_BY_THE_ADAPTER | READ_BY_ANTHROPIC
    assert given - set(Settings.model_fields) - of_models == others
    assert set(Settings.model_fields) - given == set(LEFT_AT_THEIR_DEFAULTS)
    assert of_models - given == set(MODELS_LEFT_AT_THEIR_DEFAULTS)


@pytest.mark.parametrize("name", sorted(READ_BY_ANTHROPIC))
def test_what_the_sdk_reads_itself_is_set_or_not_there(name: str) -> None:
    """An empty base URL would be asked."""
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    assert variables[name]["Fn::If"][2] == {"Ref": "AWS::NoValue"}


def test_a_function_that_calls_models_may_and_no_other() -> None:
    policy = {"Fn::If": ["WithModelPolicy", {"Ref": "ModelPolicy"}, {"Ref": "AWS::NoValue"}]}
    may = {name for name, function in FUNCTIONS.items() if policy in function["Policies"]}
    assert may == {"StepFunction", "StreamFunction", "SweepFunction"}


def test_the_models_keys_are_readable_when_a_key_of_yours_encrypts_them() -> None:
    """Each statement has its condition; without any there is no policy."""
    allowed = RESOURCES["ModelPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    actions = {one["Fn::If"][0]: one["Fn::If"][1]["Action"] for one in allowed}
    assert actions["WithModelKeys"] == "secretsmanager:GetSecretValue"
    assert actions["KeyHoldsModelKeys"] == "kms:Decrypt"
    assert TEMPLATE["Conditions"]["WithModelPolicy"]["Fn::Or"] == [
        {"Condition": name} for name in actions if name != "KeyHoldsModelKeys"
    ]


def test_who_reads_rows_may_read_the_keys_that_seal_them_and_nobody_else() -> None:
    nobody = {"Ref": "AWS::NoValue"}
    policy = {"Fn::If": ["WithEncryption", {"Ref": "EncryptionKeysPolicy"}, nobody]}
    may = {name for name, function in FUNCTIONS.items() if policy in function["Policies"]}
    reads = {"Ref": "DatabaseConnectPolicy"}
    assert may == {name for name, function in FUNCTIONS.items() if reads in function["Policies"]}
    assert "MigrateFunction" not in may
    read, decrypted = RESOURCES["EncryptionKeysPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    given = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]["ENCRYPTION_KEYS"]
    assert given == {"Fn::If": ["WithEncryption", read["Resource"], ""]}
    assert decrypted["Fn::If"][:2] == [
        "WithKey",
        {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": {"Ref": "KmsKeyArn"}},
    ]


def test_the_adapter_starts_a_program_that_the_bundle_has() -> None:
    variables = FUNCTIONS["StreamFunction"]["Environment"]["Variables"]
    assert variables["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/bootstrap"
    assert variables["AWS_LWA_INVOKE_MODE"] == "response_stream"
    assert os.access(ROOT / STARTED_BY_THE_ADAPTER, os.X_OK)


def test_a_line_ends_before_its_function_and_holds_a_step() -> None:
    offered = TEMPLATE["Parameters"]["StreamTimeoutSeconds"]["AllowedValues"]
    times = TEMPLATE["Mappings"]["StreamTimeout"]
    assert set(times) == set(offered)
    for timeout, fits in times.items():
        assert 2 * fits["Step"] <= fits["Line"] <= int(timeout) - 10
    stream = FUNCTIONS["StreamFunction"]
    assert stream["Timeout"] == {"Ref": "StreamTimeoutSeconds"}
    given = stream["Environment"]["Variables"]
    read = {name: value["Fn::FindInMap"][2] for name, value in given.items() if "BATON_" in name}
    assert read == {
        "BATON_STREAM_SECONDS": "Line",
        "BATON_LINE_SECONDS": "Line",
        "BATON_LINE_STEP_SECONDS": "Step",
    }


def test_everything_below_threads_and_runs_is_streamed_or_nothing_is() -> None:
    """A path of which the stream function had only one method would refuse the others."""
    events = [e["Properties"] for e in FUNCTIONS["StreamFunction"]["Events"].values()]
    deeper = {f"{path}/{{proxy+}}" for path in ("/threads", "/runs", "/line", "/every")}
    paths = {"/threads", "/runs", *deeper}
    methods = [(event["Path"], event["Method"]) for event in events]
    assert sorted(methods) == sorted((path, of) for path in paths for of in ("ANY", "OPTIONS"))
    assert {event["ResponseTransferMode"] for event in events} == {"RESPONSE_STREAM"}
    asked = [event for event in events if event["Method"] == "ANY"]
    assert {event["TimeoutInMillis"] for event in asked} == {900_000}
    assert RESOURCES["StreamFunction"]["Condition"] == "WithStreaming"
    for goes_on in (LINE + RUN, ALL_RUNS):  # where a line that ended says to take it up
        assert f"/{goes_on.split('/')[1]}/{{proxy+}}" in paths


def test_the_stream_function_may_do_what_api_and_step_may_and_no_more() -> None:
    assert FUNCTIONS["StreamFunction"]["Policies"] == FUNCTIONS["StepFunction"]["Policies"]


@pytest.mark.parametrize("name", ["LostClaims", "Spend", "RateLimits"])
def test_steps_of_the_stream_function_count_as_any_others(name: str) -> None:
    filters = [MONITORING["Resources"][of]["Properties"] for of in (name, f"Stream{name}")]
    assert [one["LogGroupName"]["Ref"] for one in filters] == ["StepLogs", "StreamLogs"]
    counted = [(one["FilterPattern"], one["MetricTransformations"]) for one in filters]
    assert counted[0] == counted[1]


def test_no_password_is_written_into_the_template() -> None:
    text = "".join((ROOT / path).read_text() for path in PATHS)
    for path, owner in (("infra/rds.yaml", "Database"), ("infra/aurora.yaml", "Cluster")):
        made = TEMPLATES[path]["Resources"][owner]["Properties"]
        assert made["ManageMasterUserPassword"] is True
        assert made["StorageEncrypted"] is True
    assert not re.findall(r"resolve:secretsmanager|\bMasterUserPassword\b|://\w+:[^@\s]+@", text)


@pytest.mark.parametrize(("path", "owner"), [("rds", "Database"), ("aurora", "Cluster")])
def test_functions_log_in_by_iam_as_a_user_that_is_not_the_owner(path: str, owner: str) -> None:
    nested = TEMPLATES[f"infra/{path}.yaml"]
    url, migrations = (nested["Outputs"][of]["Value"]["Fn::Sub"] for of in ("Url", "MigrationUrl"))
    assert nested["Resources"][owner]["Properties"]["EnableIAMDatabaseAuthentication"] is True
    assert url.startswith("postgresql://${FunctionsUser}@")
    assert migrations.startswith("postgresql://baton@")
    variables = FUNCTIONS["MigrateFunction"]["Environment"]["Variables"]
    made = variables["DATABASE_FUNCTIONS_USER"]["Fn::If"][1]
    assert NESTED[path.capitalize()]["Parameters"]["FunctionsUser"] == made


def test_the_proxy_has_no_password() -> None:
    rds = TEMPLATES["infra/rds.yaml"]["Resources"]
    assert rds["Proxy"]["Properties"]["DefaultAuthScheme"] == "IAM_AUTH"
    assert "Auth" not in rds["Proxy"]["Properties"]
    assert [one["Action"] for one in statements(rds["ProxyRole"])] == [
        "sts:AssumeRole",
        "rds-db:connect",
    ]


@pytest.mark.parametrize(("path", "owner"), [("rds", "Database"), ("aurora", "Cluster")])
def test_a_database_leaves_a_snapshot_when_it_goes(path: str, owner: str) -> None:
    made = TEMPLATES[f"infra/{path}.yaml"]["Resources"][owner]
    assert made["DeletionPolicy"] == made["UpdateReplacePolicy"] == "Snapshot"
    assert made["Properties"]["DeletionProtection"] == {"Ref": "Protection"}


@pytest.mark.parametrize("name", sorted(TEMPLATE["Parameters"]))
def test_every_parameter_is_described_and_bounded(name: str) -> None:
    parameter = TEMPLATE["Parameters"][name]
    assert parameter["Description"].endswith(".")
    bounded = {"AllowedValues", "AllowedPattern"} & set(parameter)
    assert bounded or {"MinValue", "MaxValue"} <= set(parameter)


def overrides(environment: str) -> dict[str, str]:
    """What samconfig.toml says of an environment's parameters."""
    deploy = SAMCONFIG[environment]["deploy"]["parameters"]
    return dict(override.split("=", 1) for override in deploy["parameter_overrides"])


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_every_environment_of_samconfig_sets_parameters_that_exist(environment: str) -> None:
    given = overrides(environment)
    assert set(given) <= set(TEMPLATE["Parameters"])
    assert given["Stage"] == environment
    stack = SAMCONFIG[environment]["deploy"]["parameters"]["stack_name"]
    assert stack == f"baton-{environment}"


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_what_runs_at_once_fits_the_database(environment: str) -> None:
    """Even if each held a connection of the proxy's nine tenths all the time."""
    defaults = {name: one.get("Default") for name, one in TEMPLATE["Parameters"].items()}
    set_to = {**defaults, **overrides(environment)}
    connections = GIGABYTES[set_to["DatabaseClass"]] * 2**30 / BYTES_PER_CONNECTION
    bounded = ("StepConcurrency", "ApiConcurrency", "NotifyConcurrency", "StreamConcurrency")
    assert sum(int(set_to[name]) for name in bounded) + 2 < 0.9 * connections  # sweep, migrate


@pytest.mark.parametrize("name", sorted(NESTED))
def test_every_nested_stack_is_given_its_parameters(name: str) -> None:
    nested = TEMPLATES[NESTED[name]["TemplateURL"]]
    assert set(NESTED[name]["Parameters"]) == set(nested["Parameters"])


def test_every_output_that_is_asked_of_a_nested_stack_is_there() -> None:
    asked = set(re.findall(r"(\w+)\.Outputs\.(\w+)", (ROOT / "template.yaml").read_text()))
    there = {
        (name, output)
        for name, nested in NESTED.items()
        for output in TEMPLATES[nested["TemplateURL"]].get("Outputs", {})
    }
    assert asked <= there


def test_an_existing_database_needs_no_network_and_no_database_of_ours() -> None:
    """The profile, and with it what `make e2e` deploys, makes none of what costs money idle."""
    conditions = {name: RESOURCES[name].get("Condition") for name in ("Rds", "Aurora", "Network")}
    assert conditions == {"Rds": "WithRds", "Aurora": "WithAurora", "Network": "OwnNetwork"}
    assert TEMPLATE["Conditions"]["OwnNetwork"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "Profile"}, "existing"]}]
    }


@pytest.mark.parametrize("name", ["ApiFunction", "StepFunction"])
def test_a_canary_is_rolled_back_by_alarms_that_exist(name: str) -> None:
    canary = FUNCTIONS[name]["DeploymentPreference"]
    alarms = [alarm["Fn::GetAtt"].rpartition(".")[2] for alarm in canary["Alarms"]]
    assert FUNCTIONS[name]["AutoPublishAlias"] == "live"
    assert canary["Enabled"] == {"Ref": "CanaryDeployment"}
    assert len(alarms) == 2
    for alarm in alarms:
        assert MONITORING["Outputs"][alarm]["Value"]["Ref"] in ALARMS


@pytest.mark.parametrize("name", ["LostClaims", "Spend"])
def test_metrics_out_of_the_log_have_an_alarm_and_a_widget(name: str) -> None:
    (made,) = MONITORING["Resources"][name]["Properties"]["MetricTransformations"]
    body = MONITORING["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert made["MetricName"] == ALARMS[f"{name}Alarm"]["MetricName"] == name
    assert ALARMS[f"{name}Alarm"]["Namespace"] == made["MetricNamespace"]
    assert f'["${{Prefix}}", "{name}"]' in body


@pytest.mark.parametrize("name", sorted(ALARMS))
def test_every_alarm_tells_the_topic_and_has_its_paragraph_in_operations(name: str) -> None:
    alarm = ALARMS[name]
    told = {"Fn::If": ["WithTopic", [{"Ref": "Topic"}], {"Ref": "AWS::NoValue"}]}
    title = alarm["AlarmName"]["Fn::Sub"].removeprefix("${Prefix}-")
    assert alarm["AlarmActions"] == alarm["OKActions"] == told
    assert f"\n| `{title}` |" in (ROOT / "docs" / "operations.md").read_text()


def test_the_dashboard_is_json_once_its_names_are_filled_in() -> None:
    body = MONITORING["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    names = set(re.findall(r"\$\{(\w+)\}", body))
    assert names <= set(MONITORING["Parameters"])
    assert len(json.loads(body)["widgets"]) == 12


def test_every_suppressed_check_says_why() -> None:
    resources = [r for template in TEMPLATES.values() for r in template["Resources"].values()]
    metadata = [r.get("Metadata", {}).get("checkov", {}) for r in resources]
    skips = [skip for one in metadata for skip in one.get("skip", ())]
    assert len(skips) > 10
    assert [skip for skip in skips if len(skip["comment"].split()) < 4] == []


def test_sam_local_is_told_of_the_compose_services_by_names_that_functions_have() -> None:
    told = json.loads((ROOT / "infra" / "local" / "sam-local.json").read_text())["Parameters"]
    everywhere = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    of_migrate = FUNCTIONS["MigrateFunction"]["Environment"]["Variables"]
    assert set(told) <= {*everywhere, *of_migrate}  # `sam local` ignores others in silence
    hosts = {urlsplit(value).netloc.rpartition("@")[2] for value in told.values()}
    ports = {name: one["ports"][0].rpartition(":")[2] for name, one in COMPOSE["services"].items()}
    assert {f"{name}:{port}" for name, port in ports.items()} <= hosts


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_compose_services_are_pinned_local_and_checked(name: str) -> None:
    service = COMPOSE["services"][name]
    assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", service["image"])
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in service["ports"])
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


def test_compose_pools_by_transaction_and_uses_the_last_free_localstack() -> None:
    services = COMPOSE["services"]
    assert services["pgbouncer"]["environment"]["POOL_MODE"] == "transaction"
    assert services["localstack"]["image"] == "localstack/localstack:4.14.0"
    assert services["postgres"]["image"] == "postgres:17"
