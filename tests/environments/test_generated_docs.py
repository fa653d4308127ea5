"""What is generated from settings and components: fresh, complete; a schema that tells right from wrong."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from environments import docs, loader
from environments.docs import settings
from environments.loader import PREFIX
from environments.schema import Environment

ROOT = docs.ROOT
SCHEMA: dict[str, Any] = json.loads(settings.json_schema())
# A pipe inside a cell is escaped.
CELL = r"(?:[^|\\]|\\.)+"
VALID: dict[str, Any] = {
    "account_id": "111111111111",
    "owner": "platform-team",
    "cost_center": "ml",
    "identity": {"domain_prefix": "inference-trial"},
    "tenants": [{"name": "acme"}],
}


def sections(annotation: Any = Environment) -> Iterator[type[BaseModel]]:
    """Every section that settings are made of."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from sections(field.annotation)
    for part in get_args(annotation):
        yield from sections(part)


SECTIONS = {section.__name__: section for section in sections()}


@pytest.mark.parametrize("path", docs.generated(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_generated_file_is_fresh(path: Path) -> None:
    assert path not in docs.stale(), "run `python -m environments.docs`, review and commit"


def test_check_names_what_is_stale_and_fails(tmp_path: Path) -> None:
    """In a copy, so that the checkout stays as it is."""
    for folder in ("components", "environments"):
        for source in (ROOT / folder).rglob("*"):
            if source.suffix in (".py", ".yaml", ".json"):
                target = tmp_path / source.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "environments.docs", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.stderr
        return done.returncode, done.stdout

    assert run()[0] == 0
    assert run("--check") == (0, "")
    page = tmp_path / "docs" / "environments.md"
    page.write_text(page.read_text() + "a line too much\n")
    status, output = run("--check")
    assert status == 1
    assert output.splitlines() == [
        "docs/environments.md: out of date",
        "run `python -m environments.docs`, review and commit",
    ]
    assert "a line too much" in page.read_text()
    assert run()[0] == 0
    assert run("--check") == (0, "")


@pytest.mark.parametrize("name", SECTIONS)
def test_every_setting_says_what_it_is(name: str) -> None:
    section = SECTIONS[name]
    assert section.__doc__
    for key, field in section.model_fields.items():
        # A section is described by its docstring.
        described = field.description or any(sections(field.annotation))
        assert described, f"{name}.{key} has no description"
        assert field.description is None or field.description.endswith("."), f"{name}.{key}"


def test_the_page_has_every_setting() -> None:
    page = settings.render()
    for section in SECTIONS.values():
        for key, field in section.model_fields.items():
            if section is Environment and key == "name":
                continue
            if any(sections(field.annotation)) and section is Environment:
                assert f"### {key}\n" in page or key == "models"
            elif not any(sections(field.annotation)):
                assert re.search(
                    rf"^\| `(\w+\.)*{key}` \| {CELL} \| {CELL} \| {CELL} \|$", page, re.MULTILINE
                ), key


def test_the_page_has_a_row_for_what_differs_and_none_for_what_does_not() -> None:
    rows = settings.render().split("## Differences")[1]
    names = settings.environments()
    assert f"| Setting | {' | '.join(names)} |" in rows
    accounts = " | ".join(loader.from_file(name).account_id for name in names)
    assert f"| `account_id` | {accounts} |" in rows
    assert len({loader.from_file(name).owner for name in names}) == 1
    assert "`owner`" not in rows
    for row in re.findall(r"^\| `.*$", rows, re.MULTILINE):
        assert len(set(row.split(" | ")[1:])) > 1, row


def refusals(config: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.message for error in validator.iter_errors({"config": config})]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", loader.names())
def test_environment_files_name_the_schema_and_fit_it(name: str) -> None:
    path = loader.FOLDER / f"Pulumi.{name}.yaml"
    assert path.read_text().splitlines()[0] == "# yaml-language-server: $schema=settings.schema.json"
    assert refusals(yaml.safe_load(path.read_text())["config"]) == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"models": {"digits": {"memory_mb": 2048}, "fraud": None}},
        {"web_acl": None, "domain": {"name": "api.example.com", "zone_id": "Z1"}},
    ],
)
def test_the_schema_accepts_what_the_loader_accepts(changes: dict[str, Any]) -> None:
    config = {PREFIX + key: value for key, value in {**VALID, **changes}.items()}
    assert refusals({**config, "aws:region": "us-east-1"}) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"account_id": "12"},
        {"regoin": "us-east-1"},
        {"network": {"nats": "none"}},
        {"network": {"nat": "two"}},
        {"logs": {"retention_days": 31}},
        {"keys": {"deletion_window_days": 6}},
        {"identity": {}},
        {"tenants": []},
        {"tenants": [{"name": "acme", "scopes": ["inference"]}]},
        {"models": {"digits": {"memory": 1}}},
        {"models": {"Digits": {"memory_mb": 1024}}},
        {"models": {"digits": 5}},
        {"name": "other"},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(changes: dict[str, Any]) -> None:
    assert refusals({PREFIX + key: value for key, value in {**VALID, **changes}.items()})


@pytest.mark.parametrize("key", VALID)
def test_the_schema_misses_what_is_required(key: str) -> None:
    assert refusals({PREFIX + name: value for name, value in VALID.items() if name != key})


def test_the_schema_refuses_keys_of_nobody() -> None:
    assert refusals({PREFIX + key: value for key, value in VALID.items()} | {"region": "us-east-1"})
