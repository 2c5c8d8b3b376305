"""While a process imports nothing becomes garbage, and none is looked for: a handler's first line.

A tenth of a cold start is the collector, going again and again through what is there to stay.
"""

import gc

gc.disable()


def imported() -> None:
    """The last line of the same handler: what there is by now is never gone through."""
    gc.freeze()
    gc.enable()
