"""cdk-nag: the AWS Solutions rules as part of synth, and acknowledgements that each carry their own reason."""

from __future__ import annotations

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct

# As cdk-nag writes an account that CloudFormation fills in. Asked for once: each look at the CDK is a call of Node.js.
_ACCOUNT_TOKEN, _ACCOUNT = cdk.Aws.ACCOUNT_ID, "<AWS::AccountId>"


def add_checks(app: cdk.App) -> None:
    """Makes a finding of the AWS Solutions rules fail the synth."""
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(construct: IConstruct, rule: str, *, reason: str) -> None:
    """Accepts the finding `rule` (`Rule`, or `Rule[Finding]`) on one construct, for a reason of its own."""
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=rule, reason=reason))


def acknowledge_wildcard(construct: IConstruct, resource: str, *, reason: str) -> None:
    """Accepts one wildcard resource in the policies below `construct`: "*", or an ARN that ends in one."""
    shown = resource.replace(_ACCOUNT_TOKEN, _ACCOUNT)
    acknowledge(construct, f"AwsSolutions-IAM5[Resource::{shown}]", reason=reason)
