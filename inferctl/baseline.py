"""What an environment is made of, as text that is reviewed like code: `environments/baseline/<env>.txt`.

One block a resource, sorted: its path of components, its type, and its inputs. A changed plan shows as a
changed block in a pull request.
"""

import contextlib
import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from inferctl.workspace import ROOT

# The engine's marks of secrets and assets in a deployment (pulumi/sdk/go/common/resource/sig).
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET, _ASSET = "1b47061264138c4ac30d75fd1eb44270", "c44067f5952c0a294b673a41bacd8c17"

# Digests of built packages and tags of images change with every commit, and say nothing about the plan.
_PACKAGE_DIGESTS = re.compile(
    r"(?<=-)[0-9a-f]{16}(?=\.zip)|(?<=sourceCodeHash: )\S+|\b[0-9a-f]{16}(?=-(?:arm64|x86-64)\b)"
)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Paths of resources that differ from the baseline."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def lines(self) -> list[str]:
        marks = (("+", self.added), ("-", self.removed), ("~", self.changed))
        return [f"{mark} {path}" for mark, paths in marks for path in paths]


def read(env: str) -> str:
    """The committed baseline; empty when there is none yet."""
    path = ROOT / f"environments/baseline/{env}.txt"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def write(env: str, export: Mapping[str, Any]) -> None:
    path = ROOT / f"environments/baseline/{env}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(render(export), encoding="utf-8")


def render(export: Mapping[str, Any]) -> str:
    """The baseline of a deployment."""
    resources = export["deployment"].get("resources", [])
    path_of = paths(resources)
    blocks = []
    for resource in resources:
        if resource["type"] == "pulumi:pulumi:Stack":
            continue
        lines = [f"{path_of[resource['urn']]}  [{resource['type']}]"]
        if resource.get("protect"):
            lines.append("  (protected)")
        inputs = {
            key: _plain(value) for key, value in resource.get("inputs", {}).items() if key != "__defaults"
        }
        if inputs:
            shown = yaml.safe_dump(inputs, default_flow_style=False, width=10_000, allow_unicode=True)
            lines.append(textwrap.indent(_PACKAGE_DIGESTS.sub("<digest>", shown).rstrip(), "  "))
        blocks.append("\n".join(lines))
    return "\n\n".join(sorted(blocks)) + "\n"


def resources(text: str) -> list[dict[str, Any]]:
    """The resources that a baseline lists: type, inputs, and a URN and parent made of paths."""
    found = []
    for block in _blocks(text).values():
        heading, _, body = block.partition("\n")
        path, _, type_ = heading.removesuffix("]").partition("  [")
        inputs = yaml.load(textwrap.dedent(body.removeprefix("  (protected)\n")), yaml.CSafeLoader)
        above, _, name = path.rpartition("/")
        parent = f"{above}::{above.rpartition('/')[2]}" if above else ""
        found.append({"type": type_, "urn": f"{path}::{name}", "parent": parent, "inputs": inputs or {}})
    return found


def difference(before: str, after: str) -> Difference:
    """Which resources two baselines do not share, or hold differently."""
    old, new = _blocks(before), _blocks(after)
    return Difference(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(path for path in old.keys() & new.keys() if old[path] != new[path])),
    )


def _blocks(text: str) -> dict[str, str]:
    # A blank line within a value is followed by an indented one.
    blocks = (block.strip() for block in re.split(r"\n\n(?=\S)", text))
    return {block.split("\n", 1)[0]: block for block in blocks if block}


def paths(resources: list[Mapping[str, Any]]) -> dict[str, str]:
    """URN -> names from the outermost component to the resource, joined by `/`."""
    parents = {resource["urn"]: resource.get("parent") for resource in resources}

    def path(urn: str) -> str:
        name = urn.split("::")[3]
        parent = parents.get(urn)
        above = path(parent) if parent and "pulumi:pulumi:Stack" not in parent.split("::")[2] else ""
        return f"{above}/{name}" if above else name

    return {urn: path(urn) for urn in parents}


def _plain(value: Any) -> Any:
    """An input for reviewers: JSON documents opened, secrets and digests of assets hidden."""
    if isinstance(value, Mapping):
        match value.get(_SIGNATURE):
            case kind if kind == _SECRET:
                return "<secret>"
            case kind if kind == _ASSET:
                return "<asset>"
        return {key: _plain(item) for key, item in value.items() if key != "__defaults"}
    if isinstance(value, str) and value.startswith("{"):
        with contextlib.suppress(json.JSONDecodeError):
            return _plain(json.loads(value))
    return [_plain(item) for item in value] if isinstance(value, list) else value
