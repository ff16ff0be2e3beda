"""Definitions of the real environments and of variants, each built once."""

from __future__ import annotations

import functools

from infra.environments import load_environment
from pipeline_def.definition import build_definition
from pipeline_def.settings import PipelineSettings

SHARDED = "dev-5-instances"
# All that the settings offer besides, in one environment.
FULL = "everything"
_EVERYTHING = {
    "tracking_server_arn": "arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/team",
    "train": {
        "image": "own",
        "instance_type": "ml.g4dn.xlarge",
        "instance_count": 2,
        "input_mode": "FastFile",
        "spot": True,
        "pretrained_model_uri": "s3://imgpipe-data/pretrained/resnet.tar.gz",
        "profiler": {"enabled": True},
        "hyperparameters": {"kv_store": "dist_sync", "checkpoint_frequency": 5},
    },
    "tune": {
        "early_stopping": "Auto",
        "ranges": {
            "learning_rate": {"min": 0.001, "max": 0.5, "scaling": "Logarithmic"},
            "mini_batch_size": {"min": 16, "max": 64},
            "optimizer": ["sgd", "adam"],
        },
        "warm_start": {"parents": ["tune-one", "tune-two"]},
        "continue_epochs": 5,
    },
    "evaluate": {"gates": {"accuracy": 0.9, "macro_f1": 0.85, "worst_class_recall": 0.5, "mse": 0.05}},
}


@functools.cache
def definition_of(name: str, pipeline: str = "train") -> str:
    """Of an environment, of dev with five instances that pack, or of settings that use everything."""
    if name == FULL:
        return build_definition(PipelineSettings.model_validate(_EVERYTHING), pipeline=pipeline, region="us-east-1")
    settings = load_environment("dev" if name == SHARDED else name)
    chosen = settings.pipeline
    if name == SHARDED:
        packing = chosen.preprocess.model_copy(update={"instance_count": 5})
        chosen = chosen.model_copy(update={"preprocess": packing})
    return build_definition(chosen, pipeline=pipeline, region=settings.region)
