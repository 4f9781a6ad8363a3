"""No plan looks so dear to a server with JIT that it is compiled, which would take longer than most statements run."""

from __future__ import annotations

import re

import psycopg
import pytest

from shapes import FINDING, SHAPES
from support.plans import custom_plan, fill, generic_plan
from support.statements import statement_of

JIT_ABOVE_COST = 100_000  # the server's default


# Before its first vacuum a table has no visibility map, and what an index answers alone looks dearer.
@pytest.mark.slow
@pytest.mark.parametrize("then", ["ANALYZE", "VACUUM ANALYZE"])
def test_no_shape_looks_dear_enough_to_be_compiled(database: str, then: str) -> None:
    fill(database, then)
    dear: list[str] = []
    with psycopg.connect(database) as connection:
        for name, shape in [*((n, s) for n, shapes in SHAPES.items() for s in shapes), *FINDING.items()]:
            statement = statement_of(shape.call, *shape.answers)
            # A file with the guard has no generic plan, which is what the guard's price is for.
            explain = [custom_plan] if statement.query.plan == "custom" else [custom_plan, generic_plan]
            for plan in (function(connection, statement) for function in explain):
                cost = re.search(r"cost=\S+\.\.(\S+) ", plan)
                assert cost is not None
                if float(cost[1]) > JIT_ABOVE_COST:
                    dear.append(f"{name}: {plan}")
            connection.rollback()
    assert not dear, "\n\n".join(dear)
