"""The contestants' side of the pipe: a line asks for a verb, a line answers with what it cost."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


def answer(verbs: Mapping[str, Callable[..., Any]]) -> None:
    """Until the pipe is closed; whatever the verbs print is dropped."""
    out = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    print(json.dumps({"ready": os.getpid()}), file=out, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        verb = verbs[asked.pop("do")]
        cpu, at = time.process_time(), time.perf_counter()
        said = verb(**asked)
        spent = {"seconds": time.perf_counter() - at, "cpu": time.process_time() - cpu}
        print(json.dumps({"answer": said, **spent}), file=out, flush=True)
