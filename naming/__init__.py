"""Physical names and ARNs, in one place.

Names that people type (buckets, functions, log groups, parameters) are fixed here; all others are left to
Pulumi's autonaming. Fixed names make ARNs known before anything exists, so permissions can be written, and
judged by policies, without waiting for a deployment.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names of one environment of the platform in one account and region."""

    platform: str
    """Name of the platform: the Pulumi project."""
    environment: str
    """Name of the environment: the Pulumi stack."""
    account_id: str
    region: str

    @property
    def prefix(self) -> str:
        """Prefix of everything that is named by hand, e.g. `inference-platform-dev`."""
        return f"{self.platform}-{self.environment}"

    def bucket(self, role: str) -> str:
        """Globally unique bucket name (63 characters at most): the account makes it so."""
        return f"{self.prefix}-{self.account_id}-{role}"

    def bucket_arn(self, role: str) -> str:
        return f"arn:aws:s3:::{self.bucket(role)}"

    def function(self, role: str) -> str:
        return f"{self.prefix}-{role}"

    def parameter(self, path: str) -> str:
        """SSM parameter name below the environment's own path."""
        return f"/{self.platform}/{self.environment}/{path}"

    def arn(self, service: str, resource: str) -> str:
        """ARN of a resource of this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"
