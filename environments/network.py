"""Settings of the VPC."""

import ipaddress
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Network(BaseModel):
    """The VPC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cidr: str = Field("10.0.0.0/16", description="IPv4 range of the VPC, /16 to /20.")
    zones: tuple[Literal["a", "b", "c", "d", "e", "f"], ...] = Field(
        ("a", "b"), min_length=2, max_length=3, description="Letters of two or three availability zones."
    )
    nat: Literal["none", "single", "one_per_az"] = Field(
        "one_per_az",
        description="NAT gateways ($32.85 a month each): none needs endpoints and the image cache.",
    )
    interface_endpoints: tuple[str, ...] = Field(
        (), description="Services with an interface endpoint ($7.30 a month per zone each), e.g. `ecr.api`."
    )
    interface_endpoint_zones: int = Field(
        1, ge=1, le=3, description="Zones in which each interface endpoint stands."
    )
    flow_logs: Literal["ALL", "REJECT"] = Field("ALL", description="Traffic that the flow log keeps.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            prefix = ipaddress.IPv4Network(self.cidr).prefixlen
        except ValueError as error:
            raise ValueError(f"cidr: {error}; give a network such as 10.0.0.0/16") from None
        if not 16 <= prefix <= 20:
            raise ValueError(f"cidr: {self.cidr} is a /{prefix}; a VPC with room for pods is a /16 to /20")
        if len(set(self.zones)) < len(self.zones):
            raise ValueError(f"zones: {', '.join(self.zones)} names a zone twice")
        if self.interface_endpoint_zones > len(self.zones):
            wanted = self.interface_endpoint_zones
            raise ValueError(f"interface_endpoint_zones {wanted} is more than the {len(self.zones)} zones")
        return self
