"""Levels and thresholds of the environments, and files that are refused."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from policies import settings
from policies.rules import RULES
from policies.settings import CONFIG, BadConfig

STRICTNESS = ("disabled", "advisory", "remediate", "mandatory")
PROFILES = sorted(CONFIG.glob("*.json"))


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_every_profile_sets_every_rule(file: Path) -> None:
    assert settings.load(file, RULES).keys() == {rule.id for rule in RULES}


def test_the_schema_for_editors_is_current() -> None:
    assert json.loads(settings.SCHEMA.read_text()) == settings.document(RULES), (
        "run `python -m policies.docs`"
    )


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_the_schema_accepts_every_profile(file: Path) -> None:
    jsonschema.validate(json.loads(file.read_text()), settings.document(RULES))


def test_there_is_a_profile_for_every_environment() -> None:
    assert [file.stem for file in PROFILES] == ["dev", "local", "prod", "stage"]


def test_where_local_is_laxer_than_dev_it_says_why() -> None:
    local, dev = (settings.load(CONFIG / f"{name}.json", RULES) for name in ("local", "dev"))
    for rule, config in local.items():
        if STRICTNESS.index(config.level) < STRICTNESS.index(dev[rule].level):
            assert len(config.reason) >= 20, rule


def changed(tmp_path: Path, **entries: Any) -> Path:
    """Prod's profile with some entries replaced; None removes one."""
    content = json.loads(settings.STRICTEST.read_text())
    for name, entry in entries.items():
        rule = name.replace("_", "-")
        if entry is None:
            del content[rule]
        else:
            content[rule] = entry
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(content))
    return file


RETENTION = {"enforcementLevel": "mandatory", "minDays": 1, "maxDays": 9, "minAuditDays": 365}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"kms_rotatoin": "mandatory"}, "kms-rotatoin: there is no such rule"),
        ({"kms_rotation": None}, "kms-rotation: missing"),
        ({"kms_rotation": "sometimes"}, "kms-rotation.enforcementLevel: Input should be 'mandatory'"),
        ({"kms_rotation": {}}, "kms-rotation.enforcementLevel: missing"),
        ({"s3_tls_only_policy": "remediate"}, "s3-tls-only-policy.enforcementLevel: Input should be"),
        ({"log_retention_bounded": "mandatory"}, "log-retention-bounded.minDays: missing"),
        (
            {"log_retention_bounded": {**RETENTION, "maxDays": "9"}},
            "log-retention-bounded.maxDays: Input should",
        ),
        ({"log_retention_bounded": {**RETENTION, "maxDays": 0}}, "maxDays: Input should be greater than"),
        ({"log_retention_bounded": {**RETENTION, "most": 9}}, "log-retention-bounded.most: there is no such"),
    ],
    ids=[
        "unknown rule",
        "missing rule",
        "level",
        "no level",
        "cannot remediate",
        "no thresholds",
        "type",
        "range",
        "unknown threshold",
    ],
)
def test_a_mistake_is_named(tmp_path: Path, entries: Any, said: str) -> None:
    file = changed(tmp_path, **entries)
    with pytest.raises(BadConfig) as refused:
        settings.load(file, RULES)
    (line,) = str(refused.value).splitlines()[:1]
    assert line.startswith(f"{file}: ") and said in line


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    file = changed(tmp_path, nonsense="mandatory", kms_rotation=None, s3_tls_only_policy="never")
    with pytest.raises(BadConfig) as refused:
        settings.load(file, RULES)
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize("content", ["", "[]", "{", '"mandatory"'])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text(content)
    with pytest.raises(BadConfig, match=r"mine\.json"):
        settings.load(file, RULES)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"none\.json"):
        settings.load(tmp_path / "none.json", RULES)
