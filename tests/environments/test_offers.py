"""Instance types are offered in the environment's region, as far as the public lists say."""

import functools
import gzip
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from environments import loader, offers
from environments.instance_types import ACCELERATORS
from environments.schema import Environment

GRAVITON = ("t4g", "m6g", "m7g", "m8g", "c6g", "c7g", "c8g", "r6g", "r7g", "r8g")
"""Families that system nodes are likely to be of."""
# The model server's image for endpoints is for x86_64 processors and NVIDIA's GPUs.
NOT_FOR_THE_IMAGE = re.compile(r"ml\.([a-z]\d+g[a-z]*|inf\d|trn\d.*)")


def ec2() -> dict[str, set[str]]:
    """Region -> what `ec2:DescribeInstanceTypeOfferings` answered moto's makers there."""
    folder = files("moto.ec2") / "resources/instance_type_offerings/region"
    answers = {path.name.split(".")[0]: gzip.decompress(path.read_bytes()) for path in folder.iterdir()}
    return {
        region: {each["InstanceType"] for each in json.loads(answers[region])} for region in sorted(answers)
    }


def sagemaker() -> dict[str, set[str]]:
    """Region -> types for endpoints that AWS's price list has there, as cfn-lint's makers read it."""
    folder = files("cfnlint.data.schemas.extensions.aws_sagemaker_hosting")
    listed = json.loads((folder / "instancetype_enum.json").read_text())
    return {region: set(types["enum"]) for region, types in listed.items() if isinstance(types, dict)}


def shortened(wanted: Iterable[str], offered: set[str]) -> list[str]:
    """Families of which all wanted types are offered, and types of the others."""
    families: dict[str, list[str]] = {}
    for kind in wanted:
        families.setdefault(kind.split(".")[0], []).append(kind)
    return [
        entry
        for family, types in families.items()
        for entry in ([family] if set(types) <= offered else [kind for kind in types if kind in offered])
    ]


@functools.cache
def expected() -> Mapping[str, Mapping[str, Sequence[str]]]:
    sizes = [f"{family}.large" for family in GRAVITON]
    return {
        "accelerators": {region: shortened(ACCELERATORS, types) for region, types in ec2().items()},
        "graviton": {region: shortened(sizes, types) for region, types in ec2().items()},
        "sagemaker": {
            region: sorted({kind.rpartition(".")[0] for kind in types if not NOT_FOR_THE_IMAGE.match(kind)})
            for region, types in sagemaker().items()
        },
    }


def test_the_table_is_what_its_sources_say() -> None:
    """Where this fails after an update of moto or cfn-lint, the table takes what they say now."""
    wanted = expected()
    text = yaml.safe_dump(dict(wanted), sort_keys=False, default_flow_style=None, width=1000)
    assert offers.table() == wanted, f"environments/offers.yaml is to be:\n{text}"


def kubernetes(accelerator: str, **more: Any) -> dict[str, Any]:
    return {"backend": "eks", "version": "v1", "accelerator": accelerator, "scale": {"max": 2}, **more}


def endpoint(instance: str, mode: str = "real-time") -> dict[str, Any]:
    scale = {"min": 1, "max": 2}
    return {"backend": "sagemaker", "version": "v1", "mode": mode, "instance": instance, "scale": scale}


def read(region: str, model: Mapping[str, Any] | None, **settings: Any) -> None:
    """An environment with one model alone."""
    models = {"one": model} if model else {}
    given = {
        **loader.from_file("stage").model_dump(),
        "region": region,
        "models": models,
        "load": {},
        "delivery": None,
    }
    Environment.model_validate({**given, **settings})


VLLM = {"engine": "vllm", "weights_gib": 30}


@pytest.mark.parametrize(
    ("region", "model", "said"),
    [
        (
            "ap-southeast-2",
            kubernetes("g6e.xlarge"),
            r"models.one.accelerator: g6e.xlarge is not offered in ap-southeast-2; choose g5.xlarge, .*"
            r"p5.48xlarge, or a region that has it: ap-northeast-1, ",
        ),
        ("ca-central-1", kubernetes("p5.4xlarge"), "p5.4xlarge is not offered .* choose .*, p5.48xlarge, or"),
        ("me-south-1", kubernetes("g5.xlarge"), "choose another region, or a region that has it"),
        ("af-south-1", endpoint("ml.g5.xlarge"), r"models.one.instance: .*; choose ml.c5.\*, .*ml.g4dn.\*, "),
        ("af-south-1", endpoint("ml.g5.xlarge", "async"), "models.one.instance: ml.g5.xlarge is not offered"),
        (
            "us-east-1",
            endpoint("ml.c7g.xlarge"),
            r"ml.c7g.xlarge is not offered in us-east-1; choose .*ml.m5",
        ),
    ],
)
def test_a_type_that_the_region_lacks_is_refused_with_what_it_has(
    region: str, model: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        read(region, model)


def test_of_a_model_with_weights_only_nodes_that_hold_it_are_a_choice() -> None:
    with pytest.raises(ValidationError) as caught:
        read("ap-southeast-2", kubernetes("g6e.xlarge", **VLLM))
    choices = str(caught.value).partition("; choose ")[2].partition(", or a region")[0].split(", ")
    assert "g6.12xlarge" in choices and "g6.xlarge" not in choices


@pytest.mark.parametrize(
    ("region", "setting", "chosen", "cluster"),
    [
        (
            "ap-southeast-1",
            "baseline.instance_type",
            "g5.xlarge",
            {"baseline": {"instance_type": "g5.xlarge"}},
        ),
        ("ca-west-1", "system_instance_type", "m7g.large", {}),  # the default
    ],
)
def test_nodes_that_no_model_asks_for_are_held_against_the_region_too(
    region: str, setting: str, chosen: str, cluster: Mapping[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=rf"cluster\.{setting}: {chosen} is not offered in {region}"):
        read(region, None, cluster={"always": True, **cluster})
    read(region, None, cluster={"always": False, **cluster})  # no cluster, no node


@pytest.mark.parametrize(
    ("region", "model", "cluster"),
    [
        ("us-east-1", kubernetes("p5.4xlarge"), {}),
        ("ca-central-1", kubernetes("p5.48xlarge"), {}),
        ("af-south-1", endpoint("ml.g4dn.xlarge"), {}),
        ("xx-north-1", kubernetes("g5.xlarge"), {}),  # a region that the table does not know
        ("us-east-1", None, {"always": True, "system_instance_type": "c9g.large"}),  # nor this family
    ],
)
def test_what_is_offered_or_not_in_the_table_passes(
    region: str, model: Mapping[str, Any] | None, cluster: Mapping[str, Any]
) -> None:
    read(
        region, model, cluster={**cluster, "access": loader.from_file("stage").cluster.model_dump()["access"]}
    )
