"""The steps of a request from box to box, as the architecture diagram draws them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A step of a request from one box to another."""

    source: str
    target: str
    stage: int
    """Flows of a lower stage come first; what is drawn is numbered anew."""
    label: str
    given: bool = False
    """Whether it is there by nature: others need a dependency between the boxes in the resource graph."""


PATH = ("client", "domain", "web_acl", "gateway")
"""The way in; a part that an environment lacks is passed over."""

FLOWS = (
    Flow(source="gateway", target="authorizer", stage=1, label="who is it?"),
    Flow(source="authorizer", target="identity", stage=1, label="keys"),
    *(
        Flow(source="gateway", target=target, stage=2, label="ask")
        for target in ("functions", "entry", "sagemaker", "jobs")
    ),
    Flow(source="gateway", target="router", stage=2, label="ask"),
    Flow(source="entry", target="router", stage=2, label="ask", given=True),
    Flow(source="router", target="gpu_models", stage=2, label="ask", given=True),
    *(
        Flow(source=source, target="models", stage=3, label="first use: load")
        for source in ("functions", "gpu_models", "sagemaker")
    ),
    Flow(source="jobs", target="data", stage=3, label="inputs, outputs"),
)
