"""Amazon Neptune, where the graph may be kept instead of in Neo4j."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class NeptuneSettings(BaseSettings):
    """The endpoint, and how requests to it are signed."""

    neptune_endpoint: str | None = Field(
        None, validation_alias="NEPTUNE_ENDPOINT", description="Neptune, e.g. https://<cluster endpoint>:8182."
    )
    neptune_iam: bool = Field(
        True,
        validation_alias="NEPTUNE_IAM",
        description="Whether the cluster authenticates with IAM: requests are signed with what AWS's chain finds.",
    )
    aws_region: str | None = Field(
        None, validation_alias="AWS_REGION", description="The region that requests to AWS are signed for."
    )
