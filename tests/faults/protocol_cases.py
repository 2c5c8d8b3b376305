"""What the protocol's model is asked: with all its rules it holds, without any of them it breaks.

Run `python -m tests.faults.protocol_cases`; exit status 1 and a trace when one is not so.
"""

import sys

from tests.faults.protocol_model import Bounds, Rules, explore

FAULTY = Bounds(workers=2, crashes=2, pauses=1, duplicates=2, losses=0)
LOSSY = Bounds(workers=3, crashes=1, pauses=1, duplicates=1, losses=1)
INLINE = Bounds(workers=2, crashes=2, pauses=1, duplicates=1, losses=0)
LINE = Bounds(workers=2, crashes=2, pauses=1, duplicates=0, losses=0)
LINE_LOSSY = Bounds(workers=2, crashes=1, pauses=1, duplicates=0, losses=1)
LINE_TEXTED = Bounds(workers=2, crashes=1, pauses=1, duplicates=0, losses=0, texts=1)
TEXTED = Bounds(workers=2, crashes=1, pauses=1, duplicates=1, losses=0, texts=1)
TEXTED_LOSSY = Bounds(workers=2, crashes=1, pauses=0, duplicates=1, losses=1, texts=1)
SEVERAL = Rules(inline=2, ahead=2)
AT_ONCE = Rules(steps=4, inline=3, ahead=3, at_once=True)
TWO_AT_ONCE = Rules(steps=3, inline=2, ahead=2, at_once=True)
ROLLBACK = Rules(steps=2, strategy="rollback")
SHORT = TWO_AT_ONCE._replace(steps=2)
TWO_UNDONE = SHORT._replace(strategy="rollback")
LEFT = TWO_UNDONE._replace(displacing="nothing")
ON_LINE = Rules(steps=3, on_line=3)
ON_LINE_BRIEFLY = Rules(steps=2, on_line=2)
LINE_UNDONE = ON_LINE_BRIEFLY._replace(strategy="rollback")
CASES: list[tuple[str, Rules, Bounds, bool]] = [
    ("the protocol", Rules(), FAULTY, True),
    ("the protocol, messages lost", Rules(), LOSSY, True),
    ("two steps in an invocation", SEVERAL, INLINE, True),
    ("two steps, ringing for one ahead only", Rules(inline=2, ahead=1), INLINE, False),
    ("each save takes the next claim", AT_ONCE, INLINE, True),
    ("each save takes the next claim, messages lost", TWO_AT_ONCE, LOSSY, True),
    ("each save takes the next claim, interrupted", SHORT, TEXTED, True),
    ("each save takes the next claim, rolled back", TWO_UNDONE, TEXTED, True),
    ("the same, ringing for two ahead only", AT_ONCE._replace(ahead=2), INLINE, False),
    ("the same, without the fence", AT_ONCE._replace(fenced=False), INLINE, False),
    ("the same, rolled back with the claim left", LEFT, TEXTED, False),
    ("steps on a client's line, one guard", ON_LINE, LINE, True),
    ("a client's line, then several at once", TWO_AT_ONCE._replace(on_line=2), LINE, True),
    ("a client's line, messages lost", ON_LINE, LINE_LOSSY, True),
    ("a client's line, interrupted", ON_LINE_BRIEFLY, LINE_TEXTED, True),
    ("a client's line, rolled back", LINE_UNDONE, LINE_TEXTED, True),
    ("a client's line, guarded as an invocation is", ON_LINE._replace(guard=False), LINE, False),
    ("a client's line, without the fence", ON_LINE._replace(fenced=False), LINE, False),
    ("interrupt", Rules(steps=2), TEXTED, True),
    ("interrupt, messages lost", Rules(steps=2), TEXTED_LOSSY, True),
    ("rollback", ROLLBACK, TEXTED, True),
    ("rollback, messages lost", ROLLBACK, TEXTED_LOSSY, True),
    ("rollback, two steps in an invocation", ROLLBACK._replace(inline=2, ahead=2), TEXTED, True),
    ("interrupt that ends the lease only", Rules(displacing="lease"), TEXTED, False),
    ("rollback that ends the lease only", ROLLBACK._replace(displacing="lease"), TEXTED, False),
    ("rollback that leaves the claim", ROLLBACK._replace(displacing="nothing"), TEXTED, False),
    ("without the fence", Rules(fenced=False), FAULTY, False),
    ("without re-sending", Rules(resend="never"), FAULTY, False),
    ("re-sending on every duplicate (safe, but doubles)", Rules(resend="always"), FAULTY, True),
    ("without the sweep, messages lost", Rules(sweep=False), LOSSY, False),
]


def main() -> int:
    failed = 0
    for name, rules, bounds, expected in CASES:
        space, broken = explore(rules, bounds)
        ok = (broken is None) == expected
        failed += not ok
        said = f"{name}: {len(space.parent):,} states: {broken or 'holds'}"
        print(f"{'as expected' if ok else 'UNEXPECTED'}: {said}", flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
