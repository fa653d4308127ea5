"""Deployments that several tests look at, each made once in a session."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.components.deployments import DEPLOYMENTS, PROGRAMS, deploy
from tests.components.recorded import Recorded

Deployed = Callable[[str], Recorded]


@pytest.fixture(scope="session")
def deployment_of(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """Name of a deployment -> what it registers."""
    return cache(lambda which: deploy(which, tmp_path_factory.mktemp(which)))


@pytest.fixture(params=DEPLOYMENTS)
def deployment(request: pytest.FixtureRequest, deployment_of: Deployed) -> Recorded:
    """Each deployment in turn."""
    return deployment_of(request.param)


@pytest.fixture(params=PROGRAMS)
def whole_program(request: pytest.FixtureRequest, deployment_of: Deployed) -> Recorded:
    """Each deployment of the whole program in turn."""
    return deployment_of(request.param)
