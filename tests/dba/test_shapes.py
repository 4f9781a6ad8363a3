"""The shapes that are generated from the text of a query file."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import pytest

from conversation_store.dba.files import QueryFile, files, read
from conversation_store.dba.shapes import pairwise, shapes
from support.query_file import HEADER, NAME, PATH

FILES = {file.name: file for file in files()}


def of(body: str) -> QueryFile:
    return read(f"{HEADER}{body};\n".encode(), PATH, NAME)


def values_of(body: str, **examples: Any) -> list[Any]:
    return [dict(shape.values) for shape in shapes(of(body), examples)]


def test_every_file_but_a_copy_has_shapes_with_a_value_for_each_parameter() -> None:
    for file in FILES.values():
        found = shapes(file)
        assert bool(found) != file.is_copy, file.name
        assert all(shape.values.keys() == set(file.query.parameters) for shape in found), file.name
        assert len({shape.label for shape in found}) == len(found), file.name


def test_an_optional_filter_is_left_out_and_given_and_a_flag_is_both() -> None:
    assert values_of("SELECT :a::int IS NULL OR :b::boolean, :c::text", c=["y"]) == [
        {"a": a, "b": b, "c": "y"} for a, b in product([None, 7], [True, False])
    ]


def test_a_list_has_one_element_and_several() -> None:
    assert values_of("SELECT :a::bigint[]") == [{"a": [7]}, {"a": [7, 7, 7]}]


def test_a_closed_choice_takes_each_value_and_another_one() -> None:
    assert values_of("SELECT CASE :a::text WHEN 'x' THEN 1 WHEN 'y' THEN 2 END") == [
        {"a": "x"},
        {"a": "y"},
        {"a": "other"},
    ]


def test_a_value_of_an_unknown_type_is_null() -> None:
    assert values_of("SELECT :a::shop.kind, :b") == [{"a": None, "b": None}]


def test_examples_are_by_name_or_by_folder_and_name() -> None:
    body = "SELECT :id::text, :name::text"
    assert values_of(body, id=["a"], name=["n", "m"]) == [{"id": "a", "name": "n"}, {"id": "a", "name": "m"}]
    assert [shape.values["id"] for shape in shapes(of(body), {"thing.id": ["b"], "id": ["a"]})] == ["b"]


def test_every_order_and_direction_has_its_first_page_and_a_later_one_with_a_key_of_its_type() -> None:
    keys = {"id": "x", "name": "x", "tokens": 7, "duration": 0.5, "round": 7, "thumb_up": 7}
    dates = dict.fromkeys(("create_date", "update_date"), "2024-01-10T00:00:00+00:00")
    for name in ("conversation.get_list", "conversation.get_list_by_keywords"):
        found = {
            (values["orderby"], values["desc"], values["after_id"], values["after_key"])
            for values in (shape.values for shape in shapes(FILES[name]))
        }
        for (order, key), desc in product({**keys, **dates}.items(), (True, False)):
            assert (order, desc, None, None) in found
            assert (order, desc, "x", key) in found


def test_pages_go_on_behind_a_position_and_end_before_one() -> None:
    found = {(shape.values["after"], shape.values["before"]) for shape in shapes(FILES["conversation.get_messages"])}
    assert found == {(None, None), (7, None), (None, 7)}


def test_filters_are_combined_each_with_each_and_beyond_64_shapes_in_pairs() -> None:
    assert len(shapes(FILES["conversation.query"])) == 64
    many = shapes(FILES["conversation.get_list"])
    assert 64 < len(many) < 200
    filters = ("id", "user_id", "exp_user_id", "from_date", "before_date", "after_id")
    for a, b in combinations(filters, 2):
        pairs = {(shape.values[a] is None, shape.values[b] is None) for shape in many}
        assert pairs == set(product([True, False], repeat=2)), (a, b)


@pytest.mark.parametrize("sizes", [[2, 2], [3, 1, 4], [2] * 10, [36, 2, 2, 3, 2], [5, 5, 5, 5]])
def test_pairwise_has_all_pairs_in_few_rows(sizes: list[int]) -> None:
    rows = list(pairwise(sizes))
    for a, b in combinations(range(len(sizes)), 2):
        assert {(row[a], row[b]) for row in rows} == set(product(range(sizes[a]), range(sizes[b])))
    largest, second = sorted(sizes)[-1], sorted(sizes)[-2]
    assert len(rows) <= 3 * largest * second
