"""What is counted of jobs: a part as one attempt left it, and what a tenant used."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartOutcome:
    """What one attempt made of a part. `key`: its results; `reason`: why the part failed as a whole."""

    key: str
    rows: int
    rows_failed: int
    tokens: int = 0
    compute_ms: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant used of a model on a day."""

    day: str
    model: str
    requests: int
    rows: int
    rows_failed: int
    tokens: int
    compute_ms: int
