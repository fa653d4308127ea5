"""A real API server as the judge of manifests: it takes the platform's, and refuses each mistake by name."""

import re
from collections.abc import Iterator

import pytest

from local_aws import custom_resources, manifests
from local_aws.api_server import ApiServer, api_server
from tests.components.gpu_programs import built, objects
from tests.components.recorded import Recorded
from tests.local_aws.planted_manifests import FOUND_BY_A_SERVER, PLANTED, mistaken
from toolchain import crds, kube_apiserver

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (kube_apiserver.built() and crds.folder().is_dir()),
        reason="there is no API server on this machine; `make validate-cluster` builds one",
    ),
]


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return built()


@pytest.fixture(scope="module")
def server(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One that has taken every definition and every manifest of the platform."""
    folder = tmp_path_factory.mktemp("cluster") / "api-server"
    with api_server(kube_apiserver.folder(), folder, print) as running:
        assert running.apply(custom_resources.definitions()) == []
        assert running.apply([manifests.whole(dict(each.inputs)) for each in objects(recorded)]) == []
        yield running


def test_it_is_of_the_version_that_the_manifests_are_for(server: ApiServer) -> None:
    assert server.version() == f"v{kube_apiserver.VERSION}"


@pytest.mark.parametrize("planted", [*PLANTED, *FOUND_BY_A_SERVER])
def test_a_planted_mistake_is_refused_with_manifest_and_field(
    recorded: Recorded, server: ApiServer, planted: str
) -> None:
    mistake = {**PLANTED, **FOUND_BY_A_SERVER}[planted]
    manifest = manifests.whole(mistaken(recorded, mistake))
    manifest["metadata"]["name"] += "-again"  # the first one is there
    refusals = server.apply([manifest])
    said = "\n".join(f"{refusal.field} {refusal.reason}" for refusal in refusals)
    assert re.search(mistake[2], said), said or "it is accepted"
    assert {refusal.manifest for refusal in refusals} == {manifests.file_of(manifest)}
