"""The SageMaker SDK, made to work with no account and no network: one pipeline session from dummy credentials."""

from __future__ import annotations

import functools
import logging
import os
import warnings
from typing import Any, Final

# The SDK reads these while it is imported, or wherever it likes: a region, whether to look roles up in IAM, whether to
# ask the machine for credentials, and configuration files of the machine's and the user's, which must not change the
# definition.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
os.environ["SAGEMAKER_VALIDATE_ROLE"] = "false"
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["SAGEMAKER_ADMIN_CONFIG_OVERRIDE"] = os.devnull
os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"] = os.devnull

import boto3
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow import steps as sdk_steps
from sagemaker.train import ModelTrainer

from pipeline_def.placeholders import ARTIFACT_BUCKET, placeholder

# The SDK takes a role that does not look like an ARN for a name and asks IAM; the placeholder replaces it in the text.
STAND_IN_ROLE_ARN: Final = "arn:aws:iam::000000000000:role/execution-role"

# Every processing step makes one of these, boto3 clients included, only to read the name of one of its methods.
sdk_steps.LocalSagemakerClient = functools.cache(sdk_steps.LocalSagemakerClient)


def offline_session(region: str) -> PipelineSession:
    """A session that turns SDK calls into step arguments and never sends anything."""
    warnings.filterwarnings("ignore", message="Lambda function won't be updated")
    warnings.filterwarnings("ignore", message="Running within a PipelineSession")
    for name in ("sagemaker", "sagemaker.config"):  # the second has a level of its own
        logging.getLogger(name).setLevel(logging.ERROR)
    return PipelineSession(boto_session=_boto_session(region), default_bucket=placeholder(ARTIFACT_BUCKET))


@functools.cache
def _boto_session(region: str) -> boto3.Session:
    """Shared by the pipelines of a region: each reads the service models anew."""
    return boto3.Session(region_name=region, aws_access_key_id="definition", aws_secret_access_key="definition")


def training_arguments(trainer: ModelTrainer) -> Any:
    """The arguments of a training step.

    Calls `train` beneath the decorator that reports usage over the network. The SDK's own way to switch that off is a
    configuration that it validates anew at each of some sixty look-ups, which takes longer than all the rest.
    """
    return ModelTrainer.train.__wrapped__(trainer, wait=False, logs=False)
