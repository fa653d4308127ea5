"""A real Pulumi CLI, with this repository's language host."""

import sys
from pathlib import Path

import pytest

from toolchain.cli import ensure_pulumi, install_language_host


@pytest.fixture(scope="session")
def pulumi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CLI to run. Our language host is beside it, even where the machine has the official one."""
    return install_language_host(ensure_pulumi(), tmp_path_factory.mktemp("bin"), Path(sys.executable))
