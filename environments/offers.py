"""Which instance types AWS offers in which region, of those that settings may name.

The table is `offers.yaml`, with its sources. AWS offers more all the time: `inferctl doctor` asks the
account, and what that has beyond the table is added there.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import BaseModel

from environments.cluster import Cluster
from environments.compute import EksModel, SageMakerModel
from environments.instance_types import ACCELERATORS

FILE = Path(__file__).with_name("offers.yaml")


class _Wish(NamedTuple):
    """An instance type that a setting names."""

    setting: str
    kind: str
    """Section of the table."""
    instance_type: str
    choices: Sequence[str] = ()
    """Types that the setting takes; empty where it takes every size of the table's families."""


def check(region: str, models: Mapping[str, BaseModel], cluster: Cluster | None) -> None:
    """Hold the instance types of an environment against its region; a region without a row has them all.

    Args:
        cluster: None where there is none.

    Raises:
        ValueError: one is not offered; the message has the choices.
    """
    for wish in _wishes(models, cluster):
        offers = table()[wish.kind]
        if region not in offers or _offered(wish.instance_type, offers[region]):
            continue
        choices = [choice for choice in wish.choices if _offered(choice, offers[region])]
        if not wish.choices:
            choices = [f"{family}.*" for family in offers[region]]
        elsewhere = [name for name, here in offers.items() if _offered(wish.instance_type, here)]
        raise ValueError(
            f"{wish.setting}: {wish.instance_type} is not offered in {region}; choose "
            f"{', '.join(choices) or 'another region'}"
            + (f", or a region that has it: {', '.join(elsewhere)}" if elsewhere else "")
            + f" (as environments/{FILE.name} has it)"
        )


@functools.cache
def table() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Section -> region -> families that are offered, and types where not all of a family are."""
    loaded: Mapping[str, Mapping[str, Sequence[str]]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return loaded


def _wishes(models: Mapping[str, BaseModel], cluster: Cluster | None) -> Iterator[_Wish]:
    for name, model in models.items():
        if isinstance(model, EksModel):
            choices = [kind for kind in ACCELERATORS if model.fits(kind)]
            yield _Wish(f"models.{name}.accelerator", "accelerators", model.accelerator, choices)
        elif isinstance(model, SageMakerModel) and model.instance:
            yield _Wish(f"models.{name}.instance", "sagemaker", model.instance)
    if cluster is None:
        return
    if cluster.baseline:
        kind = cluster.baseline.instance_type
        yield _Wish("cluster.baseline.instance_type", "accelerators", kind, list(ACCELERATORS))
    system = cluster.system_instance_type
    if any(_offered(system, here) for here in table()["graviton"].values()):
        yield _Wish("cluster.system_instance_type", "graviton", system)


def _offered(instance_type: str, here: Sequence[str]) -> bool:
    return instance_type in here or instance_type.rpartition(".")[0] in here
