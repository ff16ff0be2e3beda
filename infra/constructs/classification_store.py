"""Where classified images go: the table of results, the queue for people to review, and the queue of failures."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.nag import acknowledge
from infra.settings import EnvironmentSettings

_RETENTION = cdk.Duration.days(14)  # the most that a queue keeps
_RECEIVES = 5
# Not on a first creation that fails: what it leaves behind would stand in the way of the next try.
_KEEP = cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE


class ClassificationStore(Construct):
    """Table `<prefix>-results`, queues `<prefix>-review.fifo` and `<prefix>-classify-failures`.

    The review queue is a FIFO queue for its deduplication, and each image a message group, so that none waits for
    another. A message that nobody could work off after some tries goes to `<prefix>-review-failures.fifo`. With
    retain_on_destroy the table stays, and so do both review queues: no result says whether somebody has looked at it.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: EnvironmentSettings) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self.table = self._build_table()
        unreviewed = self._queue("ReviewFailures", "review-failures.fifo")
        self.review = self._queue(
            "Review", "review.fifo", dead_letters=sqs.DeadLetterQueue(queue=unreviewed, max_receive_count=_RECEIVES)
        )
        if settings.retain_on_destroy:
            for queue in (unreviewed, self.review):
                _keep(queue)
        self.failures = self._queue("Failures", "classify-failures")
        acknowledge(
            self.failures,
            "AwsSolutions-SQS3",
            reason="It is the dead-letter queue of the state machines and of the rule that starts them.",
        )

    def _build_table(self) -> dynamodb.Table:
        kept = self._settings.retain_on_destroy
        return dynamodb.Table(
            self,
            "Results",
            table_name=f"{self._settings.prefix}-results",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute="expires_at",
            deletion_protection=kept,
            removal_policy=_KEEP if kept else cdk.RemovalPolicy.DESTROY,
        )

    def _queue(self, construct_id: str, name: str, *, dead_letters: sqs.DeadLetterQueue | None = None) -> sqs.Queue:
        fifo = name.endswith(".fifo")
        return sqs.Queue(
            self,
            construct_id,
            queue_name=f"{self._settings.prefix}-{name}",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=_RETENTION,
            fifo=True if fifo else None,
            deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP if fifo else None,
            fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID if fifo else None,
            dead_letter_queue=dead_letters,
        )


def _keep(queue: sqs.Queue) -> None:
    """The queue's policy, which refuses plain HTTP, stays with it."""
    queue.apply_removal_policy(_KEEP)
    for policy in queue.node.find_all():
        if isinstance(policy, sqs.QueuePolicy):
            policy.apply_removal_policy(_KEEP)
