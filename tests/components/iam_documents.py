"""The IAM documents in what was registered, whatever property they are in."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.deploy_permissions import BOUNDARIES
from tests.components.recorded import Recorded, Resource


@dataclass(frozen=True, kw_only=True)
class Document:
    """One policy document and the resource that holds it."""

    holder: Resource
    text: str
    statements: Sequence[Mapping[str, Any]]

    @property
    def kind(self) -> str:
        """What the document says.

        `trust` (who takes a role), `identity` (what a role may do), `boundary` (what no role of the platform
        may ever do; it grants nothing), or `resource` (who may use the holder).
        """
        if self.holder.inputs.get("path") == BOUNDARIES:
            return "boundary"
        if self.holder.type.startswith("aws:iam/"):
            return "trust" if "assumeRolePolicy" in self.holder.inputs else "identity"
        return "resource"


def documents(recorded: Recorded) -> list[Document]:
    """Every IAM document that was registered."""
    return [
        Document(holder=resource, text=text, statements=listed(json.loads(text)["Statement"]))
        for resource in recorded.resources
        for text in _texts(resource.inputs)
        if text.startswith("{") and '"Statement"' in text
    ]


def listed(value: Any) -> list[Any]:
    """IAM takes a single value wherever it takes a list."""
    return value if isinstance(value, list) else [value]


def statements_of(recorded: Recorded, name: str) -> dict[str, Mapping[str, Any]]:
    """Sid -> statement of the document that the resource of that logical name holds."""
    [found] = [document for document in documents(recorded) if document.holder.name == name]
    return {statement["Sid"]: statement for statement in found.statements}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
