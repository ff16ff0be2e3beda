"""Where deployments, roll-backs and alarms are told of."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.settings import EnvironmentSettings


class NotificationTopic(Construct):
    """Topic `<prefix>-notifications`: over TLS alone, to the addresses of serving.notify.

    SNS encrypts what it stores by itself; a key of ours would cost a dollar a month and protect nothing more.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: EnvironmentSettings) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(
            self,
            "Topic",
            topic_name=f"{settings.prefix}-notifications",
            display_name=f"{settings.prefix}",
            enforce_ssl=True,
        )
        for address in settings.serving.notify:
            self.topic.add_subscription(subscriptions.EmailSubscription(address))
        # A topic with a policy has lost the default one, which let alarms of the account in.
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfTheAccount",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            )
        )
