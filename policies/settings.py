"""Levels and thresholds of the rules: `policies/config/<profile>.json`, in the Pulumi CLI's own format.

A file names every rule, either with its level alone or with an object: `enforcementLevel`, the rule's
thresholds and, where an environment departs from the others, a `reason`. The engine takes such a file with
`--policy-pack-config`, checks the types of thresholds and ignores names that it does not know; `load` refuses
those as well. What no file sets is as in `prod`.

`python -m policies.settings FILE...` checks files; `config.schema.json` is the same for editors.
"""

import functools
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from policies.rule import ResourceRule, Rule, Settings

CONFIG = Path(__file__).parent / "config"
STRICTEST = CONFIG / "prod.json"
SCHEMA = CONFIG.with_name("config.schema.json")


class BadConfig(ValueError):
    """The configuration is refused; the message has a line for each mistake."""


@dataclass(frozen=True)
class RuleConfig:
    """How one rule is enforced."""

    level: str
    settings: Settings
    reason: str = ""


def load(file: Path, rules: Iterable[Rule]) -> Mapping[str, RuleConfig]:
    """The level and thresholds of every rule.

    Raises:
        BadConfig: the file cannot be read, misses a rule, or has a rule, threshold or value that there
            is not.
    """
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise BadConfig(f"{file}: {error}") from error
    if not isinstance(content, dict):
        raise BadConfig(f"{file}: expected an object of rules")
    by_id = {rule.id: rule for rule in rules}
    mistakes = [f"{name}: there is no such rule" for name in content if name not in by_id]
    mistakes += [f"{name}: missing; give its level" for name in by_id if name not in content]
    configs: dict[str, RuleConfig] = {}
    for name in by_id.keys() & content.keys():
        given = content[name]
        entry = {"enforcementLevel": given} if isinstance(given, str) else given
        try:
            configs[name] = parse(by_id[name], entry)
        except BadConfig as error:
            mistakes.append(str(error))
    if mistakes:
        raise BadConfig("\n".join(f"{file}: {mistake}" for mistake in mistakes))
    return configs


def parse(rule: Rule, given: Any) -> RuleConfig:
    """One rule's entry.

    Raises:
        BadConfig: it misses a threshold, or has one or a value that there is not.
    """
    try:
        values = _model(rule).model_validate(given).model_dump()
    except ValidationError as error:
        raise BadConfig("\n".join(_mistake(rule.id, detail) for detail in error.errors())) from error
    return RuleConfig(values.pop("enforcementLevel"), reason=values.pop("reason"), settings=values)


def schema(rule: Rule, defaults: Settings) -> dict[str, dict[str, Any]]:
    """JSON Schema of the rule's thresholds and reason, for the engine."""
    properties = _model(rule).model_json_schema()["properties"]
    values = {**defaults, "reason": ""}
    return {name: {**properties[name], "default": value} for name, value in values.items()}


def document(rules: Iterable[Rule]) -> dict[str, Any]:
    """JSON Schema of a whole file."""
    properties = {}
    for rule in rules:
        schema = _model(rule).model_json_schema()
        levels = schema["properties"]["enforcementLevel"]["enum"]
        alone = [] if rule.settings else [{"enum": levels}]
        properties[rule.id] = {"description": rule.title, "anyOf": [*alone, schema]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Levels and thresholds of the policy rules",
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@functools.cache
def _model(rule: Rule) -> type[BaseModel]:
    levels: Any = Literal["mandatory", "advisory", "disabled"]
    if isinstance(rule, ResourceRule) and rule.remedy:
        levels = Literal["mandatory", "advisory", "disabled", "remediate"]
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in rule.settings.items()}
    return create_model(
        "RuleConfig",
        __config__=ConfigDict(extra="forbid", strict=True),
        enforcementLevel=(levels, ...),
        reason=(str, ""),
        **fields,
    )


def _mistake(rule: str, detail: Any) -> str:
    where = ".".join(str(step) for step in (rule, *detail["loc"]))
    if detail["type"] == "missing":
        return f"{where}: missing"
    if detail["type"] == "extra_forbidden":
        return f"{where}: there is no such threshold"
    return f"{where}: {detail['msg']}, not {json.dumps(detail['input'], default=str)}"


if __name__ == "__main__":
    from policies.rules import RULES

    try:
        for argument in sys.argv[1:]:
            load(Path(argument), RULES)
    except BadConfig as error:
        sys.exit(str(error))
