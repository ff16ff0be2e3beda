"""The layer with the Python packages of the functions that use any."""

from __future__ import annotations

from aws_cdk import AssetHashType
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.layers import built_layer, layer_hash


class FunctionLayer(Construct):
    """functions/requirements.txt, as scripts/build-function-layer has put it together."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.layer: lambda_.ILayerVersion = lambda_.LayerVersion(
            self,
            "Layer",
            description="AWS Lambda Powertools, pydantic and Pillow",
            # Named by what it is made of: where it was built must not show in the template.
            code=lambda_.Code.from_asset(
                str(built_layer()), asset_hash=layer_hash(), asset_hash_type=AssetHashType.CUSTOM
            ),
            compatible_runtimes=[lambda_.Runtime.PYTHON_3_14],
            compatible_architectures=[lambda_.Architecture.ARM_64],
        )
