"""The step handler in a process that kills itself at one named cut point, once."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import wiring
from functions.step.handler import step_records


async def cut(name: str) -> None:
    """Count the passes over all processes in a folder; die at the third, or the one asked for."""
    folder = Path(os.environ["BATON_TEST_CUTS"])
    if name != os.environ["BATON_TEST_CUT"] or (folder / "died").exists():
        return
    at_pass = int(os.environ.get("BATON_TEST_CUT_PASS", "3"))
    for number in range(1, at_pass + 1):
        try:
            (folder / str(number)).touch(exist_ok=False)
        except FileExistsError:
            continue
        if number == at_pass:
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return


def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    return step_records(event, context, replace(wiring.runtime(), cut=cut))
