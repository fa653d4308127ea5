"""Settings of jobs: batch and asynchronous inference."""

from pydantic import BaseModel, ConfigDict, Field


class TenantJobs(BaseModel):
    """What a tenant may have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    active_jobs: int = Field(1000, ge=1, le=10_000, description="Jobs of the tenant that are not finished.")
    parts_in_flight: int = Field(
        20, ge=1, le=1000, description="Parts of its jobs in one model's queue at once; more wait their turn."
    )


class Jobs(BaseModel):
    """Files that become jobs, and the workers that do them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    part_rows: int = Field(1000, ge=1, le=100_000, description="Rows after which a file is cut into parts.")
    part_bytes: int = Field(
        2 * 2**20, ge=2**16, le=64 * 2**20, description="Bytes after which a file is cut into parts."
    )
    # SQS hides a message as long: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    part_timeout_s: int = Field(300, ge=5, le=900, description="Seconds that a worker has for a part.")
    attempts: int = Field(
        3, ge=1, le=5, description="Tries of a part before its rows get an error and its message is put away."
    )
    workers: int = Field(
        10, ge=2, le=1000, description="Parts of one model that functions work on at once at most."
    )
    keep_days: int = Field(30, ge=14, le=365, description="Days that a job and its counts are remembered.")


class Analytics(BaseModel):
    """SQL over results and captured requests."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Athena's least is 10 MB: https://docs.aws.amazon.com/athena/latest/ug/workgroups-setting-control-limits-cloudwatch.html
    scan_limit_mb: int = Field(
        10_240, ge=10, le=1_000_000, description="MB that one query may read ($5 for each 1,000,000)."
    )
