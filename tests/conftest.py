"""How tests are spread over processes (`make test` starts one for each core)."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# Their costly fixtures, a whole platform and the exports of every environment, are made once.
TOGETHER = ("e2e", "integration")
APART = ("e2e/test_interrupted_up.py",)
"""It has a platform of its own."""


@pytest.hookimpl(tryfirst=True)  # before xdist looks for the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file share its fixtures, so one process runs them all; so do those of some folders."""
    for item in items:
        place = item.path.relative_to(TESTS)
        together = place.parts[0] in TOGETHER and str(place) not in APART
        group = place.parts[0] if together else str(place)
        item.add_marker(pytest.mark.xdist_group(group))
