"""The protocol itself, over every interleaving within small bounds."""

import pytest

from tests.faults.protocol_cases import CASES
from tests.faults.protocol_model import Bounds, Rules, explore

pytestmark = pytest.mark.fault


@pytest.mark.parametrize(("name", "rules", "bounds", "holds"), CASES, ids=[c[0] for c in CASES])
def test_the_protocol_holds_and_breaks_without_each_of_its_rules(
    name: str, rules: Rules, bounds: Bounds, holds: bool
) -> None:
    space, broken = explore(rules, bounds)
    print(f"{name}: {len(space.parent):,} states: {broken or 'holds'}")
    assert (broken is None) == holds, broken
