"""KMS keys."""

from policies.model import Findings, Resource, Settings, expect, is_true, resource_rule

KEY = "aws:kms/key:Key"


@resource_rule(
    id="kms-rotation",
    title="Symmetric encryption keys rotate every year",
    severity="high",
    why="Key material that never changes lets whoever once got it read everything, past and future.",
    fix="set enable_key_rotation=True",
    types=[KEY],
    good={"description": "models", "enableKeyRotation": True},
    bad={"description": "models"},
    remedy=lambda key, settings: {"enableKeyRotation": True},
)
def rotation(key: Resource, settings: Settings) -> Findings:
    spec = key.get("customerMasterKeySpec", "SYMMETRIC_DEFAULT")
    if spec == "SYMMETRIC_DEFAULT" and key.get("keyUsage", "ENCRYPT_DECRYPT") == "ENCRYPT_DECRYPT":
        yield from expect(key, "enableKeyRotation", is_true, "true")


RULES = (rotation,)
