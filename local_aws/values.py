"""Property values as the engine sends them: secrets, unknowns, assets, and how two sets of them differ.

A value is plain Python (dict, list, str, int, float, bool, None) in which four things may stand anywhere:
`Secret`, `Asset`, the string `UNKNOWN` (a value that a preview cannot know), and nothing else.
The wire form is https://github.com/pulumi/pulumi/blob/master/proto/pulumi/provider.proto: a protobuf Struct
in which such a value is an object marked by a signature.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct, Value

Props = dict[str, Any]

UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 (a marker of the protocol)
_ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
_ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
_OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_RESOURCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"


@dataclass(frozen=True)
class Secret:
    """A value that state and console show encrypted or not at all."""

    value: Any


@dataclass(frozen=True)
class Asset:
    """A file or an archive: equal when the bytes are, wherever they lie."""

    hash: str
    archive: bool = field(compare=False)
    source: Props = field(
        compare=False, hash=False
    )  # `path`, `text`, `uri` or `assets`, as the engine sent it


def decode(struct: Struct) -> Props:
    """The properties of a message of the engine."""
    return {key: _decode(value) for key, value in struct.fields.items()}


def _decode(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _decode_object(decode(value.struct_value))
        case "list_value":
            return [_decode(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
    return None


def _decode_object(raw: Props) -> Any:
    match raw.get(_SIGNATURE):
        case None:
            return raw
        case signature if signature == _SECRET:
            return Secret(raw.get("value"))
        case signature if signature in (_ASSET, _ARCHIVE):
            source = {key: value for key, value in raw.items() if key not in (_SIGNATURE, "hash")}
            return Asset(raw.get("hash", ""), signature == _ARCHIVE, source)
        case signature if signature == _OUTPUT:
            inner = raw.get("value", UNKNOWN)
            return Secret(inner) if raw.get("secret") else inner
        case signature if signature == _RESOURCE:
            return raw.get("id") or raw["urn"]
    raise ValueError(f"the engine sent a value with the unknown signature {raw[_SIGNATURE]}")


def encode(props: Mapping[str, Any]) -> Struct:
    """The message for the engine; properties that are None are left out, as absent ones are."""
    struct = Struct()
    struct.update({key: _encode(value) for key, value in props.items() if value is not None})
    return struct


def _encode(value: Any) -> Any:
    match value:
        case Secret():
            return {_SIGNATURE: _SECRET, "value": _encode(value.value)}
        case Asset():
            signature = _ARCHIVE if value.archive else _ASSET
            return {_SIGNATURE: signature, "hash": value.hash} | {
                k: _encode(v) for k, v in value.source.items()
            }
        case dict():
            return {key: _encode(item) for key, item in value.items()}
        case list() | tuple():
            return [_encode(item) for item in value]
    return value


def plain(value: Any) -> Any:
    """The value without its secret marks, for a call that needs the bare text. Never print it."""
    match value:
        case Secret():
            return plain(value.value)
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
    return value


def holds(value: Any, what: type[Secret] | str) -> bool:
    """True where the value is, or holds at any depth, a `Secret` (or the string given, such as `UNKNOWN`)."""
    if value == what if isinstance(what, str) else isinstance(value, what):
        return True
    match value:
        case Secret():
            return holds(value.value, what)
        case dict():
            return any(holds(item, what) for item in value.values())
        case list():
            return any(holds(item, what) for item in value)
    return False


def same(old: Any, new: Any) -> bool:
    """Equality as AWS sees it: secret marks aside, JSON documents by content, `5` and `"5"` alike."""
    old, new = plain(old), plain(new)
    if old == new:
        return True
    if isinstance(old, str) and isinstance(new, str) and old[:1] in ("{", "[") and new[:1] in ("{", "["):
        try:
            return bool(json.loads(old) == json.loads(new))
        except ValueError:
            return False
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(same(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(same, old, new))
    scalar = (str, int, float, bool)
    return isinstance(old, scalar) and isinstance(new, scalar) and _text(old) == _text(new)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def changes(old: Any, new: Any, path: str = "") -> dict[str, str]:
    """Paths at which two values differ, in the engine's notation (`tags.Team`, `rules[0].id`), each with
    `add`, `delete` or `update`. A new value that is unknown differs from everything."""
    if isinstance(old, Secret) or isinstance(new, Secret):
        return changes(getattr(old, "value", old), getattr(new, "value", new), path)
    if new == UNKNOWN or not same(old, new):
        if old is None:
            return {path: "add"}
        if new is None:
            return {path: "delete"}
        if isinstance(old, dict) and isinstance(new, dict):
            keys = {key: _child(path, key) for key in (*old, *(key for key in new if key not in old))}
            return _merged(changes(old.get(key), new.get(key), at) for key, at in keys.items())
        if isinstance(old, list) and isinstance(new, list):
            pairs = zip(_padded(old, len(new)), _padded(new, len(old)), strict=True)
            return _merged(changes(a, b, f"{path}[{index}]") for index, (a, b) in enumerate(pairs))
        return {path: "update"}
    return {}


def _child(path: str, key: str) -> str:
    if key.replace("_", "a").isalnum():
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key)}]"


def _padded(items: list[Any], length: int) -> list[Any]:
    return items + [None] * (length - len(items))


def _merged(parts: Any) -> dict[str, str]:
    return {key: kind for part in parts for key, kind in part.items()}
