"""The classification stack: the workflow that classifies images in S3."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from constructs import Construct

from infra.constructs.classification_functions import ClassificationFunctions
from infra.constructs.classification_machines import ClassificationMachines
from infra.constructs.classification_store import ClassificationStore
from infra.constructs.inbox import Inbox
from infra.settings import EnvironmentSettings
from infra.stack import EnvironmentStack


class ClassificationStack(EnvironmentStack):
    """Functions, results, queues and state machines; `processing` is of no use here, as there is no container."""

    def __init__(
        self,
        scope: Construct,
        stack_id: str,
        *,
        settings: EnvironmentSettings,
        data_bucket: str,
        artifact_bucket: str,
        processing: Path,
    ) -> None:
        super().__init__(
            scope,
            stack_id,
            settings=settings,
            description=f"{settings.prefix}: the workflow that classifies images in S3",
        )
        del processing
        self._settings = settings
        self.store = ClassificationStore(self, "Store", settings=settings)
        self.machines = self._build_machines(data_bucket, artifact_bucket)
        self._build_inbox(data_bucket)
        self._build_outputs()

    def _build_machines(self, data_bucket: str, artifact_bucket: str) -> ClassificationMachines:
        prefixes = _image_prefixes(self._settings)
        functions = ClassificationFunctions(
            self,
            "Functions",
            settings=self._settings,
            data_bucket=data_bucket,
            image_prefixes=prefixes,
            artifact_bucket=artifact_bucket,
        )
        return ClassificationMachines(
            self,
            "Machines",
            settings=self._settings,
            functions=functions.by_name,
            store=self.store,
            data_bucket=data_bucket,
            image_prefixes=prefixes,
            artifact_bucket=artifact_bucket,
        )

    def _build_inbox(self, data_bucket: str) -> None:
        if self._settings.classification.inbox_prefix is None:
            return
        Inbox(
            self,
            "Inbox",
            settings=self._settings,
            data_bucket=data_bucket,
            prefix=self._settings.classification.inbox_prefix,
            machine=self.machines.image.machine,
            failures=self.store.failures,
        )

    def _build_outputs(self) -> None:
        for name, value in {
            "ClassifyStateMachineArn": self.machines.image.machine.state_machine_arn,
            "ClassifyPrefixStateMachineArn": self.machines.prefix.machine.state_machine_arn,
            "ResultTableName": self.store.table.table_name,
            "ReviewQueueUrl": self.store.review.queue_url,
            "ClassifyFailureQueueUrl": self.store.failures.queue_url,
        }.items():
            cdk.CfnOutput(self, name, value=value)


def _image_prefixes(settings: EnvironmentSettings) -> list[str]:
    """First folders of the data bucket that hold images: data sets, batches, and the inbox."""
    named = (
        settings.pipeline.input_prefix,
        settings.pipeline.transform.input_prefix,
        settings.classification.inbox_prefix,
    )
    return list(dict.fromkeys(prefix.split("/", maxsplit=1)[0] for prefix in named if prefix))
