"""The layer with the Python packages of the functions that use any."""

from __future__ import annotations

from aws_cdk import Annotations, AssetHashType
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.layers import wanted_layer


class FunctionLayer(Construct):
    """functions/requirements.txt, as scripts/build-function-layer has put it together."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        wanted = wanted_layer()
        self.layer: lambda_.ILayerVersion = lambda_.LayerVersion(
            self,
            "Layer",
            description="AWS Lambda Powertools, pydantic and Pillow",
            # Named by what it is made of: where it was built must not show in the template.
            code=lambda_.Code.from_asset(
                str(wanted.built()), asset_hash=wanted.digest, asset_hash_type=AssetHashType.CUSTOM
            ),
            compatible_runtimes=[lambda_.Runtime.PYTHON_3_14],
            compatible_architectures=[lambda_.Architecture.ARM_64],
        )
        if not wanted.compiled:
            # Read by whoever deploys an assembly that the CDK's command line has not synthesised.
            Annotations.of(self).add_warning_v2(
                "imgpipe:layerOfSources",
                "the functions' layer holds no byte code, so that cold starts take longer: "
                "synthesise with `make synth` before deploying",
            )
