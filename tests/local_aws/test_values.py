"""Property values: to the engine and back, and how two sets of them differ."""

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from local_aws.values import UNKNOWN, Asset, Secret, changes, decode, encode, holds, plain, same

texts = st.text(max_size=8)
leaves = st.one_of(texts, st.integers(-(2**40), 2**40), st.booleans(), st.just(UNKNOWN))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3), inner.map(Secret)
    ),
    max_leaves=12,
)


@given(st.dictionaries(texts, values, max_size=4))
def test_what_is_sent_is_what_arrives(props: dict[str, object]) -> None:
    assert decode(Struct.FromString(encode(props).SerializeToString())) == props


def test_assets_arrive_with_their_hash_and_source() -> None:
    file = Asset("abc", False, {"path": "code.zip"})
    archive = Asset("def", True, {"assets": {"a.py": Asset("0", False, {"text": "x"})}})
    assert decode(encode({"file": file, "archive": archive})) == {"file": file, "archive": archive}


def test_absent_properties_are_left_out() -> None:
    assert decode(encode({"given": 0, "absent": None})) == {"given": 0}


def test_a_secret_is_found_and_removed_at_any_depth() -> None:
    value = {"a": [{"b": Secret({"c": UNKNOWN})}]}
    assert holds(value, Secret)
    assert holds(value, UNKNOWN)
    assert plain(value) == {"a": [{"b": {"c": UNKNOWN}}]}
    assert not holds(plain(value), Secret)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (5, "5"),
        (True, "true"),
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}'),
        (Secret("x"), "x"),
        (Asset("h", False, {"path": "/one"}), Asset("h", False, {"path": "/two"})),
    ],
)
def test_equal_for_aws(old: object, new: object) -> None:
    assert same(old, new)
    assert changes({"p": old}, {"p": new}) == {}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 2}, {"a": "update"}),
        ({"a": 1}, {}, {"a": "delete"}),
        ({}, {"a": 1}, {"a": "add"}),
        ({"t": {"x": "1", "y": "1"}}, {"t": {"x": "1", "y": "2"}}, {"t.y": "update"}),
        ({"t": {}}, {"t": {"a/b": "1"}}, {'t["a/b"]': "add"}),
        ({"l": [1, 2]}, {"l": [1]}, {"l[1]": "delete"}),
        ({"l": [{"k": 1}]}, {"l": [{"k": 2}]}, {"l[0].k": "update"}),
        ({"s": Secret("a")}, {"s": Secret("b")}, {"s": "update"}),
        ({"u": "same"}, {"u": UNKNOWN}, {"u": "update"}),
        ({"f": Asset("1", False, {})}, {"f": Asset("2", False, {})}, {"f": "update"}),
    ],
)
def test_changes_are_told_by_path(old: object, new: object, expected: dict[str, str]) -> None:
    assert changes(old, new) == expected
