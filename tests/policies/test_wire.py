"""Properties as the engine sends them: read into plain values, and patched."""

from typing import Any

from google.protobuf import struct_pb2
from pulumi_policy import proxy
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY

from policies import wire
from policies.resources import UNKNOWN

LATER = proxy.UNKNOWN_STRING_VALUE


def message(props: Any) -> struct_pb2.Struct:
    sent = struct_pb2.Struct()
    sent.update(props)
    return sent


def secret(value: Any) -> dict[str, Any]:
    return {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": value}


def test_messages_become_plain_values() -> None:
    props = {"a": {"b": [1, {"c": "d"}, []]}, "e": None, "f": True, "g": "", "h": {}}
    assert wire.plain(message(props)) == props


def test_whole_numbers_are_ints_again() -> None:
    result = wire.plain(message({"a": 3, "b": [0.5, 2]}))
    assert result == {"a": 3, "b": [0.5, 2]}
    assert [type(number) for number in (result["a"], *result["b"])] == [int, float, int]


def test_unknown_values_become_a_marker_wherever_they_are() -> None:
    props = {"a": LATER, "b": [LATER, 1], "c": {"d": LATER}}
    assert wire.plain(message(props)) == {"a": UNKNOWN, "b": [UNKNOWN, 1], "c": {"d": UNKNOWN}}


def test_the_signs_for_unknown_values_are_those_of_the_policy_sdk() -> None:
    theirs = {value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_")}
    assert theirs == wire.UNKNOWNS


def test_what_the_policy_sdk_refuses_to_read_is_what_is_unknown_here() -> None:
    """Read the same properties through the SDK's proxies and through this module."""
    props = {"a": LATER, "b": "known", "c": {"d": proxy.UNKNOWN_BOOLEAN_VALUE, "e": 1}}
    theirs = proxy.unknown_checking_proxy(props)

    def read(value: Any, key: str) -> Any:
        try:
            return value[key]
        except proxy.UnknownValueError:
            return UNKNOWN

    ours = wire.plain(message(props))
    assert ours["a"] is read(theirs, "a") and ours["b"] == read(theirs, "b")
    assert {key: read(theirs["c"], key) for key in theirs["c"]} == ours["c"]


def test_secrets_are_opened() -> None:
    assert wire.plain(message({"a": secret("x"), "b": secret({"c": secret(1)})})) == {"a": "x", "b": {"c": 1}}


def patched(props: Any, patch: Any) -> Any:
    sent = message(props)
    wire.apply(patch, sent)
    return sent


def test_a_patch_adds_replaces_and_reaches_into_objects() -> None:
    props = {"keep": "x", "replace": 1, "inner": {"third": "y"}}
    patch = {"replace": "new", "add": True, "inner": {"second": 2}, "fresh": {"deep": {"er": "z"}}}
    assert patched(props, patch) == message(
        {
            "keep": "x",
            "replace": "new",
            "add": True,
            "inner": {"third": "y", "second": 2},
            "fresh": {"deep": {"er": "z"}},
        }
    )


def test_a_patch_reaches_into_lists() -> None:
    props = {"disks": [{"ebs": {"size": 1}}, {"none": "x"}]}
    assert patched(props, {"disks": {0: {"ebs": {"encrypted": True}}}}) == message(
        {"disks": [{"ebs": {"size": 1, "encrypted": True}}, {"none": "x"}]}
    )


def test_a_patch_leaves_secrets_secret_and_unknowns_unknown() -> None:
    props = {"inner": secret({"password": "p", "later": LATER}), "later": LATER}
    assert patched(props, {"inner": {"second": True}}) == message(
        {"inner": secret({"password": "p", "later": LATER, "second": True}), "later": LATER}
    )
