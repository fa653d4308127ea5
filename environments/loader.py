"""Reads an environment at the boundary: from its file before the engine starts, or from the engine's config.

Both ways end in the same validated `Environment`; a mistake is one line that names the file, the key, the
value and what would be accepted.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from environments.schema import Environment

FOLDER = Path(__file__).parent
PREFIX = "inference-platform:"
# Keys of other Pulumi namespaces that may stand beside ours.
FOREIGN_NAMESPACES = ("aws:", "eks:", "kubernetes:", "pulumi:")


class EnvironmentInvalid(ValueError):
    """The environment cannot be used; the message lists every mistake, a line each."""


def names() -> list[str]:
    """Names of the environments that have a file."""
    return sorted(path.name.split(".")[1] for path in FOLDER.glob("Pulumi.*.yaml"))


def from_file(name: str) -> Environment:
    """The environment of `environments/Pulumi.<name>.yaml`.

    Raises:
        EnvironmentInvalid: there is no such file, it is not YAML, or a setting is wrong.
    """
    path = FOLDER / f"Pulumi.{name}.yaml"
    if not path.exists():
        raise EnvironmentInvalid(
            f"ENV={name}: there is no environments/{path.name}; choose {', '.join(names())}"
        )
    config = _yaml(path).get("config") or {}
    if not isinstance(config, Mapping):
        raise EnvironmentInvalid(f"environments/{path.name}: `config` must be a mapping of settings")
    return _validate(name, config, source=f"environments/{path.name}")


def from_engine(name: str) -> Environment:
    """The environment as the engine gives it to the program (file plus `--config` overrides)."""
    config = {key: _decode(value) for key, value in json.loads(os.environ.get("PULUMI_CONFIG", "{}")).items()}
    return _validate(name, config, source=f"the config of stack {name}")


def _decode(value: str) -> Any:
    """The engine passes every value as a string, structured ones as JSON."""
    try:
        return json.loads(value) if value.startswith(("{", "[")) else value
    except ValueError:
        return value  # text that happens to begin with a bracket


def _yaml(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or str(error)
        raise EnvironmentInvalid(f"environments/{path.name}: not valid YAML{line}: {problem}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise EnvironmentInvalid(f"environments/{path.name}: must be a mapping, not {type(loaded).__name__}")
    return loaded


def _validate(name: str, config: Mapping[str, Any], source: str) -> Environment:
    settings: dict[str, Any] = {}
    for key, value in config.items():
        if not isinstance(key, str):
            raise EnvironmentInvalid(f"{source}: {key!r}: a key must be text that begins with {PREFIX}")
        if key.startswith(PREFIX):
            # The engine makes an empty string of null, so both mean the same in a file, too.
            settings[key.removeprefix(PREFIX)] = None if value == "" else value
        elif not key.startswith(FOREIGN_NAMESPACES):
            raise EnvironmentInvalid(
                f"{source}: {key}: unknown key; the platform's settings begin with {PREFIX}"
            )
    if "name" in settings:
        raise EnvironmentInvalid(
            f"{source}: name: the stack's name is the environment's name; remove this key"
        )
    settings["name"] = name
    overrides = settings.get("models")
    settings["models"] = _catalogue({} if overrides is None else overrides, source)
    try:
        environment = Environment.model_validate(settings)
    except ValidationError as error:
        raise EnvironmentInvalid("\n".join(f"{source}: {line}" for line in _lines(error))) from None
    _require_own_names(environment, source)
    return environment


def _require_own_names(environment: Environment, source: str) -> None:
    """Roles know what they work for by how its name begins: `stage-*` must not be another's `stage-eu-*`."""
    for other in names():
        short, long = sorted((environment.name, other), key=len)
        if not long.startswith(f"{short}-"):
            continue
        config = _yaml(FOLDER / f"Pulumi.{other}.yaml").get("config") or {}
        if config.get(f"{PREFIX}account_id") == environment.account_id:
            raise EnvironmentInvalid(
                f"{source}: {long} begins with {short}-, so that roles of {short} could reach {long} "
                "in the same account; choose another name or another account_id"
            )


def _catalogue(overrides: Any, source: str) -> dict[str, Any]:
    """models.yaml with an environment's overrides: field by field, `null` removes a model."""
    base = _yaml(FOLDER / "models.yaml")
    for model, fields in base.items():
        if not isinstance(fields, Mapping):
            raise EnvironmentInvalid(
                f"environments/models.yaml: {model}: must be a mapping of fields, not {fields!r}"
            )
    if not isinstance(overrides, Mapping):
        raise EnvironmentInvalid(f"{source}: models: must be a mapping of model names, not {overrides!r}")
    merged = {**base}
    for model, fields in overrides.items():
        if fields is None:
            merged.pop(model, None)
        elif not isinstance(fields, Mapping):
            raise EnvironmentInvalid(f"{source}: models.{model}: must be a mapping of fields, not {fields!r}")
        else:
            merged[model] = {**base.get(model, {}), **fields}
    return merged


def _lines(error: ValidationError) -> list[str]:
    lines = []
    errors = error.errors(include_url=False)
    for item in errors:
        if item["type"] == "too_short" and any(_inside(other["loc"], item["loc"]) for other in errors):
            continue  # pydantic leaves refused items out and then misses them
        key = _key(item["loc"])
        match item["type"]:
            case "extra_forbidden":
                lines.append(f"{key}: unknown key; accepted are {', '.join(_accepted(item['loc']))}")
            case "missing":
                lines.append(f"{key}: is required and has no default; set it")
            case "value_error":
                lines.append(f"{key}: {item['ctx']['error']}" if key else str(item["ctx"]["error"]))
            case _:
                lines.append(f"{key}: got {item['input']!r}; {item['msg'][0].lower()}{item['msg'][1:]}")
    return lines


def _key(location: tuple[int | str, ...]) -> str:
    """The path of a setting as a file has it: pydantic adds which backend's entry a model was read as."""
    if location[0:1] == ("models",) and location[2:3] and location[2] in _backends():
        location = location[:2] + location[3:]
    return ".".join(str(part) for part in location if part != "[key]")


def _inside(location: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(location) > len(outer) and location[: len(outer)] == outer


def _accepted(location: tuple[int | str, ...]) -> list[str]:
    """Keys that may stand beside the one at `location`."""
    sections: list[type[BaseModel]] = [Environment]
    for part in location[:-1]:
        inside = [
            found
            for section in sections
            if part in section.model_fields
            for found in _sections(section.model_fields[str(part)].annotation)
        ]
        if entry := _backends().get(str(part)):
            inside = [entry]
        sections = inside or sections  # an index or a model's name leads no further
    known = {(section, name) for section in sections for name in section.model_fields}
    return sorted({name for _, name in known - {(Environment, "name")}})


def _backends() -> Mapping[str, type[BaseModel]]:
    """Backend -> the section that describes a model on it."""
    return {
        backend: section
        for section in _sections(Environment.model_fields["models"].annotation)
        if "backend" in section.model_fields
        for backend in get_args(section.model_fields["backend"].annotation)
    }


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a value of this type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)
