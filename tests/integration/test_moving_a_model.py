"""A model that moves by one word, through the real engine: what an update does, and what it leaves alone."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
import yaml

from environments import loader
from inferctl.outcome import Change
from inferctl.session import environment, open_session
from inferctl.up import build_packages
from inferctl.workspace import Workspace
from tests.components.moving import FIRSTS, MOVING, REGISTERS, belongs
from toolchain.progress import Progress

ENVIRONMENT = "stage"
BACKENDS = ("lambda", "eks", "sagemaker", "lambda")
COMPUTE = {
    "lambda": "aws:lambda/function:Function",
    "eks": "kubernetes:apps/v1:Deployment",
    "sagemaker": "aws:sagemaker/endpoint:Endpoint",
}
STAYING = {
    "stays": {"backend": "lambda", "version": "v1"},
    "stays-too": {"backend": "eks", "version": "v1", "accelerator": "g6.xlarge", "scale": {"max": 1}},
}
# What an update of a model says nothing about; without it, the updates take half of the time.
_LEFT_OUT = dict.fromkeys(("audit", "costs", "delivery", "web_acl"))


class Update(NamedTuple):
    """What came of an update of the stack."""

    backend: str
    changes: list[Change]
    resources: Mapping[str, Mapping[str, Any]]
    """URN -> state."""

    def of(self, type_: str) -> dict[str, Mapping[str, Any]]:
        """Name -> state."""
        found = (each for each in self.resources.values() if each["type"] == type_)
        return {str(each["urn"]).rpartition("::")[2]: each for each in found}


def _settings(backend: str) -> dict[str, Any]:
    """`moves` beside models that stay, and no other; the word is the only difference."""
    env = loader.from_file(ENVIRONMENT)
    models = {**dict.fromkeys(env.models), **STAYING, "moves": {**MOVING, "backend": backend}}
    cluster = {"always": True, **env.cluster.model_dump(include={"access"})}
    return {**_LEFT_OUT, "models": models, "cluster": cluster, "load": {}}


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> list[Update]:
    """The stack after each update; the first one makes it."""
    env, workspace = environment(ENVIRONMENT), Workspace(local=tmp_path_factory.mktemp("move") / "local")
    build_packages(env, workspace)
    session = open_session(env, "plan", workspace)
    file, made = workspace.config_file(ENVIRONMENT, "plan"), []
    for backend in BACKENDS:
        written = yaml.safe_load(file.read_text())
        written["config"] |= {loader.PREFIX + key: value for key, value in _settings(backend).items()}
        file.write_text(yaml.safe_dump(written))
        with Progress() as progress, progress.step(backend) as step:
            # No policies: they judge environments, not this one.
            done = session.engine._operation(step, "up", "--yes", "--skip-preview", policies=False)
        assert done.errors == []
        resources = session.engine.export()["deployment"]["resources"]
        made.append(Update(backend, done.steps, {each["urn"]: each for each in resources}))
    return made


def name_of(change: Change) -> str:
    return change.path.rpartition("/")[2]


@pytest.mark.parametrize("move", range(1, len(BACKENDS)))
def test_only_the_models_own_resources_come_and_go(journey: list[Update], move: int) -> None:
    changes = journey[move].changes
    assert any(belongs(name_of(change), "moves") for change in changes)
    # Alarms and the dashboard follow the backend.
    watch = ("observability-moves-", "observability-dashboard-moves", "observability-query-")
    others = [
        change
        for change in changes
        if not belongs(name_of(change), "moves")
        and not name_of(change).startswith(watch)
        and not any(first in name_of(change) for first in FIRSTS)
    ]
    assert {name_of(change) for change in others} <= REGISTERS
    # They are updated in place, but for what holds its content in its name.
    replaced = {name_of(change) for change in others if change.operation != "update"}
    assert replaced <= {"jobs-config", "gateway-deployment"}


@pytest.mark.parametrize("move", range(1, len(BACKENDS)))
def test_a_move_takes_the_compute_along_and_leaves_the_others(journey: list[Update], move: int) -> None:
    before, after = journey[move - 1], journey[move]
    for backend, type_ in COMPUTE.items():
        names = [name for name in after.of(type_) if name.startswith("model-moves-")]
        assert len(names) == (backend == after.backend), f"{names} on {backend}"
    for stays in STAYING:
        own = {urn for urn in before.resources if belongs(urn.rpartition("::")[2], stays)}
        assert own
        assert own <= after.resources.keys()
        changed = {name_of(change) for change in after.changes if belongs(name_of(change), stays)}
        assert changed <= REGISTERS


@pytest.mark.parametrize("move", range(1, len(BACKENDS)))
def test_buckets_data_queue_and_route_stay(journey: list[Update], move: int) -> None:
    before, after = journey[move - 1], journey[move]
    kept = ("aws:s3/bucket", "aws:kms/", "aws:sqs/", "aws:dynamodb/", "aws:glue/", "aws:cognito/")
    changed = [change for change in after.changes if change.type.startswith(kept)]
    assert {name_of(change) for change in changed} <= {
        "jobs-config",
        "jobs-moves-config",
    }  # what workers read
    assert before.of("aws:s3/bucket:Bucket").keys() == after.of("aws:s3/bucket:Bucket").keys() != set()
    assert "model-moves-jobs-queue" in after.of("aws:sqs/queue:Queue")
    [old], [new] = (each.of("aws:apigateway/restApi:RestApi").values() for each in (before, after))
    assert old["id"] == new["id"], "the address of the API"
    routes = [json.loads(each["inputs"]["body"])["paths"].keys() for each in (old, new)]
    assert routes[0] == routes[1]
    assert "/v2/models/moves/infer" in routes[0]


def test_back_where_it_was_the_stack_is_what_it_was(journey: list[Update]) -> None:
    assert journey[0].resources.keys() == journey[-1].resources.keys()
