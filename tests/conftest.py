"""How tests are spread over processes (`make test` starts one for each core)."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# Their costly fixtures, a whole platform and the exports of every environment, are made once.
TOGETHER = ("e2e", "integration")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file share its fixtures, so one process runs them all; so do those of some folders."""
    for item in items:
        place = item.path.relative_to(TESTS)
        group = place.parts[0] if place.parts[0] in TOGETHER else str(place)
        item.add_marker(pytest.mark.xdist_group(group))
