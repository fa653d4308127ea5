"""Reads IAM policy documents and OpenAPI documents as they stand in resource properties."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import yaml

from policies.resources import UNKNOWN, Part, Resource, Undecided
from policies.rule import Finding, Findings, unknown


class NotADocument(ValueError):
    """The text is not what the property wants; AWS would refuse it too."""


@dataclass(frozen=True)
class Statement:
    """A statement of an IAM policy document, its one-or-many fields as lists."""

    body: Mapping[str, Any]

    @property
    def allows(self) -> bool:
        return self.body.get("Effect") == "Allow"

    @property
    def sid(self) -> str:
        return str(self.body.get("Sid") or "without Sid")

    @property
    def actions(self) -> Sequence[str]:
        return _many(self.body.get("Action"))

    @property
    def not_actions(self) -> Sequence[str]:
        return _many(self.body.get("NotAction"))

    @property
    def resources(self) -> Sequence[str]:
        return _many(self.body.get("Resource"))

    @property
    def not_resources(self) -> Sequence[str]:
        return _many(self.body.get("NotResource"))

    @property
    def principals(self) -> Mapping[str, Sequence[str]]:
        """Principals by kind (AWS, Service, Federated); `*` is kind AWS."""
        principal = self.body.get("Principal") or {}
        if not isinstance(principal, Mapping):
            return {"AWS": _many(principal)}
        return {kind: _many(names) for kind, names in principal.items()}

    def trusts_everyone(self) -> bool:
        return "*" in self.principals.get("AWS", ())

    @property
    def conditions(self) -> Sequence[tuple[str, str, Sequence[str]]]:
        """(operator, key in lower case, values); AWS compares condition keys without regard to case."""
        blocks = self.body.get("Condition") or {}
        return [
            (operator, key.lower(), _many(values))
            for operator, keys in blocks.items()
            for key, values in keys.items()
        ]

    def condition_keys(self) -> set[str]:
        return {key for _, key, _ in self.conditions}

    def grants(self, action: str) -> bool:
        """Whether an Allow covers the action (`service:Action`, without wildcards)."""
        if not self.allows:
            return False
        if self.not_actions:
            return not any(_matches(pattern, action) for pattern in self.not_actions)
        return any(_matches(pattern, action) for pattern in self.actions)

    def on_everything(self) -> bool:
        """Whether it applies to all resources, all but some, or all buckets (their ARNs have no account)."""
        return bool(self.not_resources) or any(map(_is_everything, self.resources))


def _is_everything(resource: str) -> bool:
    return not resource.removeprefix("arn:aws:s3:").removeprefix("arn:aws:").strip("*:/")


def statements(part: Part | Resource, path: str) -> Sequence[Statement]:
    """The statements of the IAM policy at a path, empty where none is set.

    Raises:
        Undecided: it, or a value in it, is not known yet.
        NotADocument: it is no JSON object with statements.
    """
    content = _known(part, path)
    if content is None or content == "":
        return []
    if isinstance(content, str):
        try:
            content = json.loads(content)
        except ValueError as error:
            raise NotADocument(f"`{part.where(path)}` is not JSON: {error}") from error
    found = content.get("Statement") if isinstance(content, Mapping) else None
    bodies = [found] if isinstance(found, Mapping) else found
    if not isinstance(bodies, list) or not all(isinstance(body, Mapping) for body in bodies):
        raise NotADocument(f"`{part.where(path)}` is not an IAM policy document with a Statement")
    return [Statement(body) for body in bodies]


def judge_allows(
    part: Part | Resource, path: str, problems: Callable[[Statement], Iterable[str]]
) -> Findings:
    """A finding for each problem of each Allow statement of the IAM policy at a path."""
    try:
        found = statements(part, path)
    except NotADocument as error:
        yield Finding(str(error))
        return
    except Undecided as undecided:
        yield unknown(undecided)
        return
    for statement in found:
        if statement.allows:
            for problem in problems(statement):
                yield Finding(f"`{part.where(path)}`: statement {statement.sid} {problem}")


def openapi(part: Part | Resource, path: str) -> Mapping[str, Any]:
    """The OpenAPI document (JSON or YAML) at a path, empty where none is set.

    Raises:
        Undecided: it, or a value in it, is not known yet.
        NotADocument: it is neither JSON nor YAML, or no object.
    """
    content = _known(part, path)
    if isinstance(content, str):
        try:
            content = json.loads(content) if content.lstrip().startswith("{") else yaml.safe_load(content)
        except (ValueError, yaml.YAMLError) as error:
            reason = str(error).splitlines()[0]
            raise NotADocument(f"`{part.where(path)}` is neither JSON nor YAML: {reason}") from error
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise NotADocument(f"`{part.where(path)}` is not an OpenAPI document")
    return content


_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "x-amazon-apigateway-any-method")


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each operation of an OpenAPI document as (`GET /path`, operation)."""
    for path, item in (document.get("paths") or {}).items():
        for method in _METHODS:
            if isinstance(operation := item.get(method), Mapping):
                yield f"{'ANY' if method.startswith('x-') else method.upper()} {path}", operation


def _known(part: Part | Resource, path: str) -> Any:
    """A document, which is judged as a whole: what it says may hang on any value in it."""
    content = part.get(path)
    if _holds_unknown(content):
        raise Undecided(part.where(path))
    return content


def _holds_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_unknown, value.values()))
    return value is UNKNOWN or (isinstance(value, list) and any(map(_holds_unknown, value)))


def _many(value: Any) -> Sequence[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _matches(pattern: str, action: str) -> bool:
    return fnmatchcase(action.lower(), pattern.lower())
