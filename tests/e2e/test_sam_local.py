"""What `sam local` would run, as far as it can be seen without Docker: its own code says it."""

import json
import subprocess

from tests.e2e.toolbox import ROOT, Toolbox

PROGRAM = """
import json
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

told = json.load(open("infra/local/sam-local.json"))
stacks, _ = SamLocalStackProvider.get_stacks(
    "template.yaml", parameter_overrides={"Profile": "existing"}
)
functions = SamFunctionProvider(stacks)
keys = {"key": "test", "secret": "test", "region": "us-east-1"}
LocalLambdaRunner.get_aws_creds = lambda self: keys
runner = LocalLambdaRunner(None, functions, ".", ".", env_vars_values=told)
print(json.dumps({f.name: runner._make_env_vars(f).resolve() for f in functions.get_all()}))
"""


def test_sam_local_gives_functions_what_the_file_says(tools: Toolbox) -> None:
    python = tools.sam.with_name("python")
    said = subprocess.run(
        [python, "-c", PROGRAM], cwd=ROOT, check=True, capture_output=True, text=True
    )
    given = json.loads(said.stdout)
    told = json.loads((ROOT / "infra" / "local" / "sam-local.json").read_text())["Parameters"]

    of_migrate = {name: value for name, value in told.items() if name.startswith("MIGRATION_")}
    everywhere = {name: value for name, value in told.items() if name not in of_migrate}
    assert {"ApiFunction", "StepFunction", "MigrateFunction"} <= set(given)
    for variables in given.values():
        assert everywhere.items() <= variables.items()
    assert of_migrate.items() <= given["MigrateFunction"].items()
