"""The API under a name of the company's own."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.tags import Tags


@dataclass(frozen=True, kw_only=True)
class CustomDomainArgs:
    """Arguments of `CustomDomain`."""

    tags: Tags
    domain_name: str
    """Full name, e.g. `inference.example.com`."""
    zone_id: str
    """Route 53 public hosted zone that holds the name."""
    api_id: pulumi.Input[str]
    """REST API that answers under the name."""
    stage_name: pulumi.Input[str]
    """Its stage; the whole domain is this stage."""


class CustomDomain(pulumi.ComponentResource):
    """A regional domain with a certificate that renews itself, and a DNS record that leads to it.

    It takes TLS 1.3, and TLS 1.2 with forward secrecy only; key exchange is safe against quantum computers
    where the client can do it. Turn off the API's default domain with it, which takes TLS 1.0.
    """

    url: pulumi.Output[str]

    def __init__(self, name: str, args: CustomDomainArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:custom_domain:CustomDomain", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        tags = args.tags.component("custom-domain")
        domain = aws.apigateway.DomainName(
            f"{name}-domain",
            domain_name=args.domain_name,
            regional_certificate_arn=self._certificate(),
            endpoint_configuration={"types": "REGIONAL"},
            # https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-security-policies-list.html
            security_policy="SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09",
            endpoint_access_mode="STRICT",  # the host of the request must be the one of the TLS handshake
            tags=tags,
            opts=self._child,
        )
        aws.apigateway.BasePathMapping(
            f"{name}-mapping",
            domain_name=domain.domain_name,
            rest_api=args.api_id,
            stage_name=args.stage_name,
            opts=self._child,
        )
        aws.route53.Record(
            f"{name}-record",
            zone_id=args.zone_id,
            name=args.domain_name,
            type="A",
            aliases=[
                {
                    "name": domain.regional_domain_name,
                    "zone_id": domain.regional_zone_id,
                    "evaluate_target_health": False,  # there is no second target to answer with
                }
            ],
            opts=self._child,
        )
        self.url = pulumi.Output.concat("https://", domain.domain_name)
        self.register_outputs({"url": self.url})

    def _certificate(self) -> pulumi.Output[str]:
        """ARN of the issued certificate; ready once ACM has seen the validation record."""
        args, name = self._args, self._name
        certificate = aws.acm.Certificate(
            f"{name}-certificate",
            domain_name=args.domain_name,
            validation_method="DNS",
            tags=args.tags.component("custom-domain"),
            opts=self._child,
        )
        proof = certificate.domain_validation_options[0]
        record = aws.route53.Record(
            f"{name}-validation-record",
            zone_id=args.zone_id,
            name=proof.resource_record_name,
            type=proof.resource_record_type,
            records=[proof.resource_record_value],
            ttl=300,
            # ACM asks for the same record again for every certificate of this name.
            allow_overwrite=True,
            opts=self._child,
        )
        validation = aws.acm.CertificateValidation(
            f"{name}-validation",
            certificate_arn=certificate.arn,
            validation_record_fqdns=[record.fqdn],
            opts=self._child,
        )
        return validation.certificate_arn
