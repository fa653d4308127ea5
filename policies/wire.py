"""Properties as the engine sends them, as plain values, and back.

Objects with a signature stand for what JSON has no word for; see sdk/go/common/resource/properties.go in
pulumi/pulumi.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2

from policies.resources import UNKNOWN

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 (a signature)
UNKNOWNS = frozenset(
    (
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # a boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # a number
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # a string
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # a list
        "030794c1-ac77-496b-92df-f27374a8bd58",  # an asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # an archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # an object
    )
)


def plain(value: Any) -> Any:
    """A message's value as dicts, lists and scalars.

    Unknown values become `UNKNOWN`, secrets are opened, whole numbers are ints (the protocol knows only
    floats), assets stay the objects that describe them.
    """
    if isinstance(value, struct_pb2.Value):
        kind = value.WhichOneof("kind")
        return None if kind == "null_value" else plain(getattr(value, kind))
    if isinstance(value, struct_pb2.Struct):
        fields = {name: plain(field) for name, field in value.fields.items()}
        return fields.get("value") if fields.get(_SIGNATURE) == _SECRET else fields
    if isinstance(value, struct_pb2.ListValue):
        return [plain(item) for item in value.values]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return UNKNOWN if isinstance(value, str) and value in UNKNOWNS else value


def apply(patch: Mapping[Any, Any], to: struct_pb2.Struct) -> None:
    """Set a patch's values within the message; all else stays as it came, secrets and unknowns included."""
    for name, value in patch.items():
        field = _opened(to.fields[name]) if name in to.fields else struct_pb2.Value()
        if isinstance(value, Mapping) and field.HasField("struct_value"):
            apply(value, field.struct_value)
        elif isinstance(value, Mapping) and field.HasField("list_value"):
            for index, inner in value.items():
                apply(inner, field.list_value.values[index].struct_value)
        else:
            to[name] = value


def _opened(field: struct_pb2.Value) -> struct_pb2.Value:
    """The value within a secret."""
    fields = field.struct_value.fields if field.HasField("struct_value") else {}
    return fields["value"] if _SIGNATURE in fields and fields[_SIGNATURE].string_value == _SECRET else field
