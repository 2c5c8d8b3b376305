"""While a process imports nothing becomes garbage, and none is looked for: a handler's first line.

A tenth of a cold start is the collector, going again and again through what is there to stay.
Later it looks seldom: what a step holds goes with the step, garbage is the exception (ADR 0060).
"""

import gc

YOUNG = 5_000  # containers that are new when they are gone through; ten steps at once have fewer

gc.disable()


def imported() -> None:
    """The last line of the same handler: what there is by now is never gone through."""
    gc.freeze()
    gc.set_threshold(YOUNG)
    gc.enable()
