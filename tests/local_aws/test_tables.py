"""The tables of emulate mode, as data."""

import pytest

from local_aws.carried import PLACEHOLDER
from local_aws.operations import input_shape
from local_aws.sdk_types import resource_type
from local_aws.tables import TABLES


@pytest.mark.parametrize("token", TABLES)
def test_a_resource_is_found_by_its_inputs_and_its_id(token: str) -> None:
    """Of a resource that a killed `up` made nothing else is known."""
    table = TABLES[token]
    if table.read is None:
        return
    known = {*resource_type(token).inputs, "id", "region", "account"}
    shape = input_shape(table.service, table.read.operation)
    asked = [name for name in (shape.required_members if shape else ()) if name not in table.read.fixed]
    assert set(asked) <= set(table.names.members(known, asked).values())
    assert set(PLACEHOLDER.findall(f"{table.read.result}{table.read.fixed}")) <= known
