"""The rules of lists: their order is down to a key, and something bounds them."""

from __future__ import annotations

from sqlglot import exp

from conversation_store.dba.lint._rows import Rows
from conversation_store.dba.lint._rules import Fault, Faults, Subject


def lists(subject: Subject) -> Faults:
    """Give each list without an order, without a bound, or in an order that leaves rows equal."""
    rows = Rows(subject)
    tree = subject.tree
    if subject.file.query.returns != "many" or not isinstance(tree, exp.Query):
        return  # what a modification returns has no order, and a batch of a deletion may be any rows
    if tree.args.get("order") is None:
        yield Fault("L04", tree, "the list has no ORDER BY")
    if not rows.is_bounded(tree):
        yield Fault("L05", tree, "the list has no LIMIT, and no parameter bounds it")
    for node in tree.find_all(exp.Query):
        order, is_page = node.args.get("order"), node.args.get("limit") is not None
        if order is not None and (is_page or node is tree):
            lacking = rows.lacking(node)
            if lacking is not None:
                more = f", which {lacking} would tell apart" if lacking else ""
                yield Fault("L06", order, f"rows may be equal in this order{more}")
