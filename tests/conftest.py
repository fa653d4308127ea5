"""How tests are spread over processes (`make test` starts one for each core)."""

from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# Their costly fixtures, a whole platform and the exports of every environment, are made once.
TOGETHER = ("tests/e2e/", "tests/integration/")
# It has a platform of its own.
APART = "tests/e2e/test_interrupted_up.py"
# Minutes each, so that they begin first: one that began last would have one process run on alone.
FIRST = (*TOGETHER, APART)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of these folders are marked by them; on a busy machine what they run takes minutes."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if f"tests/{folder}/" in TOGETHER:
            item.add_marker(folder)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(1200))


class ByFixture(LoadScopeScheduling):  # type: ignore[misc]
    """Tests of one file share its fixtures, so one process runs them all; so do those of some folders.

    Marks of groups (`--dist loadgroup`) do the same, but not with this version of pytest: xdist 3.8 writes a
    test's group to where pytest 9.2 no longer reads it.
    """

    def _assign_work_unit(self, node: Any) -> None:
        scope = min(self.workqueue, key=lambda scope: FIRST.index(scope) if scope in FIRST else len(FIRST))
        self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        if file == APART:
            return file
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFixture:
    return ByFixture(config, log)
