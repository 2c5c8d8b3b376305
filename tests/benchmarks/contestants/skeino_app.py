"""The skeino server over Postgres; imported by uvicorn in skeino's own environment."""

import os

from skeino import SkeinoSettings, create_app

from tests.benchmarks.project.workloads import w1

app = create_app(
    graphs={"w1": lambda saver: w1.copy({"checkpointer": saver})},
    settings=SkeinoSettings(
        checkpointer_scheme="postgres", checkpointer_uri=os.environ["DATABASE_URL"]
    ),
)
