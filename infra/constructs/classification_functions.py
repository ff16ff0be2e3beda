"""The three functions of the classification workflow, each with what it needs and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.function_layer import FunctionLayer
from infra.constructs.python_function import PythonFunction
from infra.constructs.statements import allow
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings

_MB = 1_000_000
# A request's other parts, and what a JPEG grows by in none of them: room below the endpoint's own limit.
_HEADROOM = 0.95
_LARGEST_IMAGE_MEMORY_MB = 2048  # 89 million pixels in RGB, with transparency and the canvas beside it
_PAYLOADS = "classify"


class ClassificationFunctions(Construct):
    """Serialize, Classify and Filter; `image_prefixes` are those of the data bucket that hold images to classify."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        data_bucket: str,
        image_prefixes: Sequence[str],
        artifact_bucket: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self._layer = FunctionLayer(self, "Libraries").layer
        self._s3 = f"arn:{cdk.Stack.of(self).partition}:s3:::"
        self._artifacts = f"{self._s3}{artifact_bucket}"
        self._endpoint = {"ENDPOINT_NAME": settings.endpoint_name}
        self.by_name: Mapping[str, lambda_.IFunction] = {
            "serialize": self._build_serialize(data_bucket, image_prefixes, artifact_bucket),
            "classify": self._build_classify(),
            "filter": self._build_filter(),
        }

    def _build_serialize(self, data_bucket: str, prefixes: Sequence[str], artifact_bucket: str) -> lambda_.IFunction:
        serialize = self._function(
            "serialize",
            description="Reads and checks an image, shrinks it to the model's input",
            memory_mb=_LARGEST_IMAGE_MEMORY_MB,
            environment={
                **self._endpoint,
                "ARTIFACT_BUCKET": artifact_bucket,
                "MAX_PAYLOAD_BYTES": str(int(self._settings.serving.payload_limit_mb * _MB * _HEADROOM)),
            },
        )
        images = [f"{self._s3}{data_bucket}/{prefix}/*" for prefix in prefixes]
        payloads = f"{self._artifacts}/{_PAYLOADS}/*"
        live = f"serving/{self._settings.endpoint_name}/live.json"
        for resource in images:
            acknowledge_wildcard(
                serialize.role, resource, reason="Reads any image below this prefix; their names are the user's."
            )
        acknowledge_wildcard(serialize.role, payloads, reason="A payload is named by the hash of its image's place.")
        for statement in (
            allow("ReadImages", ["s3:GetObject", "s3:GetObjectVersion"], images),
            allow("ReadLiveModel", ["s3:GetObject"], [f"{self._artifacts}/{live}"]),
            # Without a listing S3 answers that access is denied where no model is live yet.
            allow("FindLiveModel", ["s3:ListBucket"], [self._artifacts], {"StringEquals": {"s3:prefix": live}}),
            allow("WritePayloads", ["s3:PutObject"], [payloads]),
        ):
            serialize.role.add_to_policy(statement)
        return serialize.function

    def _build_classify(self) -> lambda_.IFunction:
        classify = self._function(
            "classify",
            description="Asks the endpoint for the class of an image",
            memory_mb=512,
            environment=self._endpoint,
        )
        payloads = f"{self._artifacts}/{_PAYLOADS}/*"
        acknowledge_wildcard(classify.role, payloads, reason="A payload is named by the hash of its image's place.")
        endpoint = cdk.Stack.of(self).format_arn(
            service="sagemaker", resource="endpoint", resource_name=self._settings.endpoint_name
        )
        classify.role.add_to_policy(allow("ReadPayloads", ["s3:GetObject"], [payloads]))
        classify.role.add_to_policy(allow("AskTheEndpoint", ["sagemaker:InvokeEndpoint"], [endpoint]))
        return classify.function

    def _build_filter(self) -> lambda_.IFunction:
        wanted = self._settings.classification
        threshold = {} if wanted.threshold is None else {"CONFIDENCE_THRESHOLD": repr(wanted.threshold)}
        return self._function(
            "filter",
            description="Decides whether an answer is sure enough",
            memory_mb=256,
            environment={"RESULT_EXPIRY_DAYS": str(wanted.result_expiry_days), **threshold},
        ).function

    def _function(
        self, name: str, *, description: str, memory_mb: int, environment: Mapping[str, str]
    ) -> PythonFunction:
        built = PythonFunction(
            self,
            name.capitalize(),
            settings=self._settings,
            folder=name,
            name=name,
            description=description,
            timeout=cdk.Duration.minutes(2),
            environment={
                **environment,
                # Of logs, metrics and traces; it tells the environments apart.
                "POWERTOOLS_SERVICE_NAME": self._settings.prefix,
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
            layers=[self._layer],
            memory_mb=memory_mb,
            traced=True,
        )
        acknowledge_wildcard(
            built.role, "*", reason="xray:PutTraceSegments and PutTelemetryRecords have no resource type."
        )
        return built
