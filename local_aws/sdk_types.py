"""What the Python SDK says of a resource type: its inputs, its outputs and their shapes.

The SDK's source is read, not imported: importing `pulumi_aws.wafv2` alone takes 1.7 s, since one module pulls
its whole service in, while the lines wanted here are generated code of one regular form.
"""

import ast
import functools
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_GETTER = re.compile(
    r'@pulumi\.getter(?:\(name="(?P<name>\w+)"\))?\n(?:\s+@_utilities\.deprecated\(.*?\)\n)?'
    r"\s+def (?P<python>\w+)\(self\) -> (?P<type>[^\n]+):\n",
    re.DOTALL,
)
_SECRETS = re.compile(r"additional_secret_outputs=(\[.*?\])")


@dataclass(frozen=True)
class Shape:
    """Type of a property. `of` is the item of a list or map; `type_name` names an object's output type."""

    kind: Literal["str", "int", "float", "bool", "any", "list", "map", "object"]
    optional: bool = False
    of: "Shape | None" = None
    type_name: str = ""


@dataclass(frozen=True)
class ResourceType:
    """A resource type of the SDK, its properties under their engine names (`bucketRegionalDomainName`)."""

    token: str
    package: Path
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    secrets: frozenset[str]  # outputs that the provider always marks secret

    @property
    def taggable(self) -> bool:
        return "tags" in self.inputs and "tagsAll" in self.outputs

    def fields(self, shape: Shape) -> Mapping[str, Shape]:
        """Properties of an object shape of this type."""
        return _fields(self.package, shape.type_name)


class UnknownType(LookupError):
    """The installed SDK has no such resource type."""


@functools.cache
def resource_type(token: str) -> ResourceType:
    """The type of a token such as `aws:s3/bucket:Bucket`.

    Raises:
        UnknownType: no installed SDK registers it.
    """
    sdk = f"pulumi_{token.split(':')[0]}"
    try:
        module, class_name = _registered(sdk)[token]
    except (KeyError, StopIteration):
        raise UnknownType(f"{token}: {sdk} has no such resource type") from None
    package = _root(sdk).joinpath(*module.split(".")[1:])
    wanted = token.split(":")[1].split("/")[-1].replace("_", "").lower()
    file = next(path for path in package.glob("*.py") if path.stem.replace("_", "") == wanted)
    source = file.read_text(encoding="utf-8")
    arguments, resource = source.split(f"class {class_name}(pulumi.CustomResource):", 1)
    secrets = _SECRETS.search(resource)
    return ResourceType(
        token=token,
        package=package,
        inputs=dict(_getters(arguments.split("@pulumi.input_type")[1])),
        outputs=dict(_getters(resource)),
        secrets=frozenset(ast.literal_eval(secrets[1]) if secrets else ()),
    )


@functools.cache
def _root(sdk: str) -> Path:
    spec = importlib.util.find_spec(sdk)
    if spec is None or spec.origin is None:
        raise UnknownType(f"{sdk} is not installed")
    return Path(spec.origin).parent


@functools.cache
def _registered(sdk: str) -> dict[str, tuple[str, str]]:
    """Token -> (Python package, class), as the SDK registers them with the engine."""
    source = (_root(sdk) / "__init__.py").read_text(encoding="utf-8")
    modules = json.loads(source.split('resource_modules="""', 1)[1].split('"""', 1)[0])
    return {token: (entry["fqn"], name) for entry in modules for token, name in entry["classes"].items()}


@functools.cache
def _fields(package: Path, type_name: str) -> Mapping[str, Shape]:
    # A resource may use a type of another service ('_lambda.outputs.X'): rare, and then its shape stays open.
    parts = _types(package).split(f"\nclass {type_name}(dict):", 1)
    return dict(_getters(parts[1].split("\n@pulumi.output_type", 1)[0])) if len(parts) == 2 else {}


@functools.cache
def _types(package: Path) -> str:
    return (package / "outputs.py").read_text(encoding="utf-8")


def _getters(source: str) -> Iterator[tuple[str, Shape]]:
    for getter in _GETTER.finditer(source):
        yield getter["name"] or getter["python"], _shape(ast.parse(getter["type"], mode="eval").body)


def _shape(node: ast.expr, optional: bool = False) -> Shape:
    match node:
        case ast.Subscript(value=outer, slice=inner):
            match ast.unparse(outer).split(".")[-1]:
                case "Optional":
                    return _shape(inner, True)
                case "Output" | "Input":
                    return _shape(inner, optional)
                case "Sequence":
                    return Shape("list", optional, _shape(inner))
                case "Mapping" if isinstance(inner, ast.Tuple):
                    return Shape("map", optional, _shape(inner.elts[1]))
        case ast.Constant(value=str(name)) if "outputs." in name or name.endswith("Args"):
            # An input type has the fields of the output type without the suffix.
            return Shape("object", optional, type_name=name.split(".")[-1].removesuffix("Args"))
        case ast.Attribute(attr="str" | "int" | "float" | "bool" as kind):
            return Shape(kind, optional)
    return Shape("any", optional)
