"""The catalogue as a whole: many models of all backends, and a model that moves from one to another."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from environments import loader
from tests.components.iam_documents import documents, listed
from tests.components.moving import FIRSTS, MOVING, REGISTERS, belongs
from tests.components.programs import program
from tests.components.recorded import Recorded, Resource

ENVIRONMENT = "stage"
ACCOUNT_BUCKETS = "arn:aws:s3:::inference-platform-stage-222222222222"
BACKENDS: list[Mapping[str, Any]] = [
    {"backend": "lambda", "version": "v1"},
    {"backend": "eks", "version": "v1", "accelerator": "g6.xlarge", "scale": {"max": 1}},
    {
        "backend": "sagemaker",
        "mode": "real-time",
        "version": "v1",
        "instance": "ml.m5.xlarge",
        "scale": {"min": 1, "max": 2},
    },
    {
        "backend": "sagemaker",
        "mode": "serverless",
        "version": "v1",
        "memory_mb": 2048,
        "max_concurrency": 5,
    },
]
# Names as people give them: policies that list models grow with each letter.
FORTY = {f"reviewclassifier{number}": BACKENDS[number % len(BACKENDS)] for number in range(40)}


def stage(folder: Path, models: Mapping[str, Any]) -> Recorded:
    """The whole program with these models and no other."""
    env = loader.from_file(ENVIRONMENT)
    cluster = {"always": True, **env.cluster.model_dump(include={"access"})}
    settings = {
        "models": {**dict.fromkeys(env.models), **models},
        "cluster": cluster,
        "load": {},
        "delivery": {**env.model_dump()["delivery"], "publishers": {}},
    }
    return program(ENVIRONMENT, folder, settings)


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return stage(tmp_path_factory.mktemp("forty"), FORTY)


def readers(recorded: Recorded) -> dict[str, set[str]]:
    """Role policy of a model -> the model prefixes in S3 that it names."""
    found: dict[str, set[str]] = {}
    for document in documents(recorded):
        name = document.holder.name
        # Deliveries, which are named after what they deliver, try the versions of every model.
        if document.kind != "identity" or not name.startswith("model-") or name.startswith("model-delivery-"):
            continue
        resources = [arn for statement in document.statements for arn in listed(statement["Resource"])]
        prefixes = {arn for arn in resources if arn.startswith("arn:aws:s3:::") and "/models/" in arn}
        if prefixes:
            found[document.holder.name] = prefixes
    return found


def test_each_of_forty_models_has_a_role_that_reaches_only_its_prefix(forty: Recorded) -> None:
    found = readers(forty)
    assert len(found) == len(FORTY)
    by_model = {name.split("-")[1]: prefixes for name, prefixes in found.items()}
    assert by_model.keys() == FORTY.keys()
    for model, prefixes in by_model.items():
        for prefix in prefixes:
            # The slash keeps the first one out of the tenth's files.
            assert prefix.startswith(f"{ACCOUNT_BUCKETS}-models/models/{model}/"), prefix


def test_forty_models_have_forty_queues_and_routes(forty: Recorded) -> None:
    queues = [each.inputs["name"] for each in forty.all("aws:sqs/queue:Queue") if "-job-" in str(each.inputs)]
    assert {f"inference-platform-stage-job-{model}" for model in FORTY} <= set(queues)
    paths = json.loads(forty.one("aws:apigateway/restApi:RestApi").inputs["body"])["paths"]
    assert {f"/v2/models/{model}/infer" for model in FORTY} <= paths.keys()


def test_forty_models_have_room_on_the_nodes(forty: Recorded) -> None:
    [pool] = forty.all("kubernetes:karpenter.sh/v1:NodePool")
    assert int(pool.inputs["spec"]["limits"]["nvidia.com/gpu"]) >= 10


def test_forty_models_leave_room_in_every_role(forty: Recorded) -> None:
    """AWS takes 10,240 characters of inline policies a role, white space aside."""
    sizes: Counter[str] = Counter()
    for document in documents(forty):
        if document.holder.type == "aws:iam/rolePolicy:RolePolicy":
            assert all(listed(statement["Resource"]) for statement in document.statements)
            sizes[str(document.holder.inputs["role"])] += len(re.sub(r"\s", "", document.text))
    assert len(sizes) > len(FORTY)
    assert {role: size for role, size in sizes.items() if size > 10_240 * 0.8} == {}


def others(recorded: Recorded, model: str) -> dict[str, Resource]:
    """URN -> resource, of everything that is neither the model's backend nor a register of all models."""
    return {
        each.urn: each
        for each in recorded.resources
        if each.name not in REGISTERS
        # Alarms and dashboards follow the backend; the paths of zips on this machine are no part of the plan.
        and not each.name.startswith(("observability-", "packages-"))
        and not belongs(each.name, model)
    }


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Recorded]]:
    """A model that moves by one word; another one of each kind stays where it is."""
    staying = {"stays": BACKENDS[0], "stays-too": BACKENDS[1]}
    folder = tmp_path_factory.mktemp("move")
    return [
        (backend, stage(folder, {**staying, "moves": {"backend": backend, **MOVING}}))
        for backend in ("lambda", "eks", "sagemaker", "lambda")
    ]


def test_moving_a_model_leaves_everything_else_as_it_is(journey: list[tuple[str, Recorded]]) -> None:
    for (_, before), (backend, after) in itertools.pairwise(journey):
        old, new = others(before, "moves"), others(after, "moves")
        # The first model on SageMaker brings the images for its instances, and who delivers there.
        brought = {urn for urn in old.keys() ^ new.keys() if any(first in urn for first in FIRSTS)}
        assert old.keys() ^ new.keys() == brought, f"moving to {backend} makes or ends others' things"
        changed = [urn for urn in old.keys() & new.keys() if old[urn].inputs != new[urn].inputs]
        assert changed == [], f"moving to {backend} changes what is not the model's"


def test_moving_a_model_keeps_its_queue_and_route(journey: list[tuple[str, Recorded]]) -> None:
    first = journey[0][1]
    for backend, made in journey:
        for role in ("queue", "dead-letters"):
            name = f"model-moves-jobs-{role}"
            assert made.named(name).urn == first.named(name).urn, backend
            assert made.named(name).inputs == first.named(name).inputs, backend
        paths = json.loads(made.named("gateway-api").inputs["body"])["paths"]
        assert {path for path in paths if "/moves" in path} == {
            "/v2/models/moves",
            "/v2/models/moves/infer",
            "/v2/models/moves/jobs",
            "/v2/models/moves/ready",
        }


def test_a_moved_model_is_on_one_backend_only(journey: list[tuple[str, Recorded]]) -> None:
    kinds = {
        "lambda": "aws:lambda/function:Function",
        "eks": "kubernetes:apps/v1:Deployment",
        "sagemaker": "aws:sagemaker/endpoint:Endpoint",
    }
    for backend, made in journey:
        found = {
            kind
            for kind, type_ in kinds.items()
            if any(each.name.startswith("model-moves-") for each in made.all(type_))
        }
        assert found == {backend}


def test_the_same_catalogue_is_the_same_program(journey: list[tuple[str, Recorded]]) -> None:
    first, last = journey[0][1], journey[-1][1]
    assert [each.urn for each in first.resources] and {each.urn for each in first.resources} == {
        each.urn for each in last.resources
    }
