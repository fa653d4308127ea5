"""What `inferctl models` makes of manifests and of the history, without a platform."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from inferctl import models
from inferctl.deliveries import Deliveries
from inferctl.errors import CommandFailed
from serving.manifest import Manifest
from tests.serving.conftest import scale_manifest, scale_model

VERSIONS = {
    "v1": scale_manifest(scale_model(2.0), "v1", metrics={"accuracy": 0.9, "loss": 0.25}),
    "v2": scale_manifest(scale_model(3.0), "v2", 3.0, metrics={"accuracy": 0.95, "loss": 0.25}),
}


class Published:
    """Deliveries of a platform that has these versions."""

    def __init__(self, client: object) -> None:
        pass

    def manifest(self, model: str, version: str) -> Manifest:
        return VERSIONS[version]


def diff(monkeypatch: pytest.MonkeyPatch, *versions: str) -> str:
    settings = SimpleNamespace(models={"scale": None})
    monkeypatch.setattr(models, "by_names", lambda env: (settings, None))
    monkeypatch.setattr(models, "Deliveries", Published)
    done = CliRunner().invoke(models.app, ["diff", "scale", *versions])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_diff_has_what_differs_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {line.split("│")[1].strip() for line in diff(monkeypatch, "v1", "v2").splitlines() if "│" in line}
    assert {"sha256", "metric accuracy"} <= rows
    assert not {"inputs", "outputs", "golden requests", "metric loss"} & rows
    assert "the same file, signature and metrics" in diff(monkeypatch, "v1", "v1")


def delivered(version: str, previous: str, outcome: str = "delivered") -> Mapping[str, str]:
    return {"version": version, "previous": previous, "outcome": outcome}


@pytest.mark.parametrize(
    ("live", "history", "before"),
    [
        ("v2", [delivered("v2", "v1"), delivered("v1", "none")], "v1"),
        # What was refused or changed nothing was never live.
        ("v2", [delivered("v3", "v2", "refused"), delivered("v2", "v1"), delivered("v1", "none")], "v1"),
        ("v2", [delivered("v2", "v2", "unchanged"), delivered("v2", "v1"), delivered("v1", "none")], "v1"),
        # After a rollback it is what was rolled back: once more goes forward again.
        ("v1", [delivered("v1", "v2"), delivered("v2", "v1"), delivered("v1", "none")], "v2"),
        ("v1", [delivered("v1", "none")], None),
    ],
)
def test_a_rollback_goes_to_what_was_live_before(
    live: str, history: list[Mapping[str, str]], before: str | None
) -> None:
    known: Any = Deliveries.__new__(Deliveries)
    known.ledger = SimpleNamespace(history=lambda model: history)
    known.parameters = SimpleNamespace(get=lambda model, name: {"version": live})
    if before is None:
        with pytest.raises(CommandFailed, match="no version of scale was live before v1"):
            known.previous("scale")
    else:
        assert known.previous("scale") == before
