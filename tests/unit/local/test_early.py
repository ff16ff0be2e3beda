"""What a run is refused for before anything is synthesised: parameters, and versions that are not approved."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml

from local.early import check_early
from local.errors import LocalRunError
from local.registry.store import RegistryStore
from local.synth import declared_parameters
from pipeline_def.definition import build_definition
from pipeline_def.settings import PIPELINES, PipelineSettings

ROOT = Path(__file__).parents[3]


def check(home: Path, pipeline: str = "train", **parameters: str) -> None:
    check_early(
        environment="dev",
        pipeline=pipeline,
        project=ROOT,
        home=home,
        parameters=parameters,
        suggestions={"Epochs": "1"},
    )


def registered(home: Path, number: int, status: str) -> None:
    store = RegistryStore(home, "dev")
    with store.locked():
        store.add(
            version=number,
            arn=f"arn:group/{number}",
            created=datetime(2024, 5, number, tzinfo=timezone.utc),
            approval_status=status,
            bucket="artifacts",
            request={},
            write_objects=lambda directory: None,
        )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"Epoch": "5"}, "parameter Epoch is unknown: did you mean Epochs"),
        ({"Epochs": "abc"}, "parameter Epochs: 'abc' is not a whole number"),
        ({"NumLayers": "19"}, "parameter NumLayers: '19' is not allowed, it takes one of 18, "),
        ({"ImagesPerClass": "-1"}, "parameter ImagesPerClass: -1 is out of range, it must be at least 0"),
    ],
)
def test_wrong_parameters(tmp_path: Path, parameters: dict[str, str], message: str) -> None:
    with pytest.raises(LocalRunError, match=message):
        check(tmp_path, **parameters)


def test_what_a_run_may_be_given(tmp_path: Path) -> None:
    check(tmp_path, Epochs="5", NumLayers="18")
    check(tmp_path, "retrain", BaseModelUri="here/model.tar.gz")


def test_transform_needs_an_approved_version(tmp_path: Path) -> None:
    registered(tmp_path, 1, "PendingManualApproval")
    with pytest.raises(LocalRunError, match=r"^no version is approved: `imgpipe approve VERSION --local` first"):
        check(tmp_path, "transform")
    with pytest.raises(LocalRunError, match=r"^version 1 is PendingManualApproval: `imgpipe approve 1 --local` first$"):
        check(tmp_path, "transform", ModelVersion="1")
    registered(tmp_path, 2, "Approved")
    check(tmp_path, "transform")
    check(tmp_path, "transform", ModelVersion="2")
    with pytest.raises(LocalRunError, match=r"--local` first, or give 2$"):
        check(tmp_path, "transform", ModelVersion="1")
    with pytest.raises(LocalRunError, match="the local registry has no version 9: it has 1, 2"):
        check(tmp_path, "transform", ModelVersion="9")


def test_wrong_settings_are_left_to_synth(tmp_path: Path) -> None:
    assert declared_parameters("nowhere", "train", project=ROOT) is None
    check_early(environment="nowhere", pipeline="train", project=ROOT, home=tmp_path, parameters={}, suggestions={})


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_parameters_are_those_of_the_definition(pipeline: str) -> None:
    content = yaml.safe_load((ROOT / "environments" / "dev.yaml").read_text())
    settings = PipelineSettings.model_validate(content["pipeline"])
    definition = json.loads(build_definition(settings, pipeline=pipeline, region="us-east-1"))
    assert declared_parameters("dev", pipeline, project=ROOT) == definition["Parameters"]
