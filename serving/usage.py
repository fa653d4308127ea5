"""What a request used, and how its parts tell each other of it.

The gateway says whose a request is: to the cluster's router in a header, to a SageMaker endpoint in the
custom attributes. The model server says in its answer what it counted, which the router keeps to itself.
"""

import re
from dataclasses import dataclass
from typing import Self

TENANT_HEADER = b"x-inference-tenant"
ROWS_HEADER, TOKENS_HEADER = b"x-inference-rows", b"x-inference-tokens"
ATTRIBUTES_HEADER = b"x-amzn-sagemaker-custom-attributes"
TENANT_NAME = re.compile(rb"[a-z][a-z0-9-]{0,30}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Used:
    """Rows that were predicted, tokens in and out, and milliseconds that it took."""

    requests: int = 0
    rows: int = 0
    tokens: int = 0
    compute_ms: float = 0.0

    def __add__(self, other: Self) -> "Used":
        return Used(
            self.requests + other.requests,
            self.rows + other.rows,
            self.tokens + other.tokens,
            self.compute_ms + other.compute_ms,
        )


def tenant_in(attributes: bytes) -> str | None:
    """The tenant in SageMaker's custom attributes; None where they name a route, as those of jobs do."""
    return attributes.decode() if TENANT_NAME.fullmatch(attributes) else None
