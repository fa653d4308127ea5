"""The program of every environment, run once in a session."""

from collections.abc import Callable
from functools import cache

import pytest

from environments import loader
from tests.components.programs import program
from tests.components.recorded import Recorded

Programs = Callable[[str], Recorded]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """Name of an environment -> what its program registers."""
    return cache(lambda env: program(env, tmp_path_factory.mktemp(env)))


@pytest.fixture(params=loader.names())
def env(request: pytest.FixtureRequest) -> str:
    """Each environment in turn."""
    return str(request.param)
