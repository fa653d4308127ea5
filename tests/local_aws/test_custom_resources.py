"""Manifests of the platform with one planted mistake each: rendering refuses them, with the field's name."""

import re
from pathlib import Path
from typing import Any

import pytest

from local_aws import custom_resources, manifests
from tests.components.gpu_programs import built, objects
from tests.components.recorded import Recorded
from tests.local_aws.planted_manifests import FOUND_BY_A_SERVER, PLANTED, mistaken
from toolchain import crds

CUSTOM = {"NodePool", "EC2NodeClass", "ScaledObject", "TriggerAuthentication", "TargetGroupBinding"}


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return built()


@pytest.fixture(params=["definitions", "own"])
def schemas(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """With the makers' definitions, where set-up got them, and with our own minimal schemas alone."""
    kind = str(request.param)
    if kind == "definitions" and not crds.folder().is_dir():
        pytest.skip("set-up got no definitions: there is no Go here, or no network")
    if kind == "own":
        monkeypatch.setattr(crds, "folder", lambda: tmp_path)
    for cache in (custom_resources.schema_of, manifests._custom):
        cache.cache_clear()
    return kind


def problems(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    return [*manifests.name_problems(manifest), *manifests.schema_problems(manifest)]


def test_every_manifest_of_the_platform_is_judged_and_fits(recorded: Recorded, schemas: str) -> None:
    kinds = set()
    for resource in objects(recorded):
        manifest = dict(resource.inputs)
        assert problems(manifest) == [], resource.name
        judged = manifests.rendered(manifest, resource.urn).splitlines()[1]
        assert judged.startswith("# fits"), judged
        kinds.add(manifest["kind"])
    assert kinds >= CUSTOM


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_mistake_is_refused_by_name(recorded: Recorded, schemas: str, planted: str) -> None:
    said = PLANTED[planted][2]
    found = "\n".join(f"{path} {reason}" for path, reason in problems(mistaken(recorded, PLANTED[planted])))
    assert re.search(rf"\b{said}\b", found), found or "nothing is said"


@pytest.mark.parametrize("planted", FOUND_BY_A_SERVER)
def test_what_only_a_server_finds_is_what_schemas_cannot_say(
    recorded: Recorded, schemas: str, planted: str
) -> None:
    """`test_api_server.py` shows that it does. One that schemas find, too, belongs to the others."""
    assert problems(mistaken(recorded, FOUND_BY_A_SERVER[planted])) == []


def test_a_manifest_says_by_what_it_was_judged(recorded: Recorded, schemas: str) -> None:
    judged = {
        kind: manifests.rendered(dict(recorded.named(name).inputs), "urn").splitlines()[1]
        for kind, name in {"NodePool": "cluster-pools-gpu", "TargetGroupBinding": "router-targets"}.items()
    }
    own = "# fits a minimal schema of our own"
    assert judged["TargetGroupBinding"] == own
    definition = "# fits the definition of NodePool karpenter.sh/v1"
    assert judged["NodePool"] == (definition if schemas == "definitions" else own)
