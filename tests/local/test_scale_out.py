"""Packing on 1, 2 and 5 instances: the deployed steps up to Preprocess, with the real programs, give the same bytes.

Training is left out. The steps of each variant are what `pipeline_def` builds for it, filled in with what the deployed
environment knows, and run as a pipeline of their own in the same account, on the same uploaded images.
"""

from __future__ import annotations

import io
import json
import random
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from end_to_end import REGION
from PIL import Image, PngImagePlugin

from infra.environments import load_environment
from local.assembly import CloudAssembly
from local.containers.process import ProcessRuntime
from local.emulator.account import EmulatedAccount, emulated_account
from local.executor.definition import Step
from local.executor.execution import Execution
from local.executor.expressions import Scope
from local.executor.records import ExecutionRecord, StepRecord
from local.executor.tools import Tools
from local.pipeline import DeployedPipeline
from local.storage import all_files, read_text, upload
from pipeline_def import placeholders
from pipeline_def.definition import build_definition

PACKING = ("Resolve", "Pack", "Preprocess")
COUNTS = (1, 2, 5)
PARAMETERS = {"ImageSize": "32", "MaxRejectedFraction": "0.5", "ValidationFraction": "0.2", "TestFraction": "0.2"}
# Each with what makes it hard for shards: all classes small, records of any size, groups that lie in several shards.
VARIANTS = {
    "default": {},
    "groups": {"GroupBy": r"/(\d+)_\d+\.", "Seed": "7"},
    "as they are": {"PassThrough": "true", "RecordFormat": "png", "Crop": "square"},
    "sample": {"ImagesPerClass": "9", "Quality": "80"},
}


class Silent:
    """An observer that is not interested."""

    def step_started(self, step: Step) -> None: ...

    def step_line(self, step: Step, line: str) -> None: ...

    def step_ended(self, record: StepRecord) -> None: ...


@dataclass(frozen=True)
class Packed:
    """A finished execution, and everything that its Preprocess wrote, by path."""

    record: ExecutionRecord
    directory: Path
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes in several formats and sizes, some of them twice, some near to another, some no image at all."""
    directory = tmp_path_factory.mktemp("images")
    dice = random.Random(3)
    for label, count in (("cats", 24), ("dogs", 17), ("wide birds", 11)):
        folder = directory / label
        folder.mkdir()
        for number in range(count):
            picture = _picture(dice)
            name = f"{number // 3:02}_{number}"  # three to a group
            kind = ("png", "jpg", "bmp")[number % 3] if number % 5 else "png"
            picture.save(folder / f"{name}.{kind}")
            if number % 6 == 0:  # equal bytes under another name, which another instance may get
                (folder / f"{name}9.{kind}").write_bytes((folder / f"{name}.{kind}").read_bytes())
            if number % 8 == 1:  # equal pixels in other bytes
                comment = PngImagePlugin.PngInfo()
                comment.add_text("Comment", "again")
                picture.save(folder / f"{name}8.png", pnginfo=comment)
    (directory / "cats" / "empty.jpg").write_bytes(b"")
    (directory / "dogs" / "text.png").write_text("not an image")
    whole = io.BytesIO()
    _picture(dice).save(whole, "JPEG")
    (directory / "dogs" / "half.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (directory / "cats" / "notes.txt").write_text("no image by its name")
    return directory


def _picture(dice: random.Random) -> Image.Image:
    """A coarse random pattern, some 40 pixels wide; a fifth is just what a record of the test may be."""
    size = (32, 32) if dice.random() < 0.2 else (dice.randint(33, 50), dice.randint(33, 50))
    pattern = Image.frombytes("RGB", (4, 4), dice.randbytes(48))
    return pattern.resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def definitions() -> dict[int, str]:
    """Definitions by the number of instances; built outside the account, which hides the SDK's configuration."""
    settings, built = load_environment("dev"), {}
    for count in COUNTS:
        packing = settings.pipeline.preprocess.model_copy(update={"instance_count": count})
        wanted = settings.pipeline.model_copy(update={"preprocess": packing})
        built[count] = build_definition(wanted, pipeline="train", region=REGION)
    return built


@pytest.fixture(scope="module")
def deployed(assembly: CloudAssembly, definitions: dict[int, str]) -> Iterator[tuple[EmulatedAccount, dict[str, str]]]:
    with emulated_account(region=REGION) as account:
        yield account, account.deploy(assembly)


@pytest.fixture(scope="module")
def pack(
    deployed: tuple[EmulatedAccount, dict[str, str]],
    assembly: CloudAssembly,
    definitions: dict[int, str],
    images: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Packed]:
    """Packs the images on some instances; the images are uploaded once."""
    account, outputs = deployed
    names = {count: _create_pipeline(account, outputs, count, text) for count, text in definitions.items()}
    upload(account.objects, images, f"s3://{outputs['DataBucketName']}/datasets/main/", files=all_files(images))

    def run(count: int, parameters: dict[str, str]) -> Packed:
        pipeline = DeployedPipeline.read(account, names[count])
        started = pipeline.start(parameters)
        directory = tmp_path_factory.mktemp("run")
        (directory / "logs").mkdir()
        s3 = account.client("s3")
        execution = Execution(
            arn=started.arn,
            definition=pipeline.definition,
            scope=Scope(
                parameters=pipeline.definition.parameter_values(parameters),
                execution=pipeline.execution_values(started),
                steps={},
                read_object=lambda uri: read_text(s3, uri),
            ),
            tools=Tools(
                account=account,
                runtime=ProcessRuntime(interpreters={"imaging": Path(sys.executable)}),
                images=assembly.images,
                directory=directory,
                execution_id=started.id,
                stop=threading.Event(),
                on_line=lambda step, line: None,
            ),
            max_parallel_steps=1,
            observer=Silent(),
        )
        record = execution.run()
        assert record.status == "Succeeded", f"{record.failure_reason}; {_logs(directory)}"
        return Packed(record, directory, _stored(account, outputs["ArtifactBucketName"], record.id))

    return run


def _create_pipeline(account: EmulatedAccount, outputs: dict[str, str], count: int, text: str) -> str:
    """A pipeline of the steps that pack, with the values that CloudFormation gave to the deployed one; its name."""
    definition = json.loads(placeholders.substitute(text, _values(account, outputs)))
    definition["Steps"] = [step for step in definition["Steps"] if step["Name"] in PACKING]
    name = f"packing-on-{count}"
    account.client("sagemaker").create_pipeline(
        PipelineName=name,
        PipelineDefinition=json.dumps(definition),
        RoleArn=outputs["ExecutionRoleArn"],
        ClientRequestToken="x" * 32,
    )
    return name


def _values(account: EmulatedAccount, outputs: dict[str, str]) -> dict[str, str]:
    deployed: dict[str, Any] = {
        step.name: step.spec for step in DeployedPipeline.read(account, outputs["TrainPipelineName"]).definition.steps
    }

    def image(step: str) -> str:
        return str(deployed[step]["Arguments"]["AppSpecification"]["ImageUri"])

    return {
        placeholders.DATA_BUCKET: outputs["DataBucketName"],
        placeholders.ARTIFACT_BUCKET: outputs["ArtifactBucketName"],
        placeholders.EXECUTION_ROLE_ARN: outputs["ExecutionRoleArn"],
        placeholders.RESOLVE_FUNCTION_ARN: deployed["Resolve"]["FunctionArn"],
        placeholders.IMAGING_IMAGE_URI: image("Preprocess"),
        placeholders.MXNET_IMAGE_URI: image("Evaluate"),
        placeholders.SERVE_IMAGE_URI: image("SmokeTest"),
        placeholders.MODEL_PACKAGE_GROUP_NAME: outputs["ModelPackageGroupName"],
    }


def _stored(account: EmulatedAccount, bucket: str, execution: str) -> dict[str, bytes]:
    """What Preprocess stored, by the path below its prefix; the pool of the shards is not part of it."""
    prefix, s3 = f"executions/{execution}/preprocess/", account.client("s3")
    return {
        key.removeprefix(prefix): s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        for key in account.objects.keys(bucket, prefix)
        if not key.startswith(f"{prefix}pool/")
    }


def _logs(directory: Path) -> str:
    return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted((directory / "logs").glob("*.log")))


@pytest.mark.parametrize(
    "variant", ["default", *(pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS if name != "default")]
)
def test_any_number_of_instances_gives_the_same_bytes(pack: Callable[..., Packed], variant: str) -> None:
    packed = {count: pack(count, PARAMETERS | VARIANTS[variant]) for count in COUNTS}
    one = packed[1].files
    assert {"train/train.rec", "validation/validation.rec", "test/test.rec", "dataset/dataset.json"} <= one.keys()
    assert {f"dataset/{split}.lst" for split in ("train", "validation", "test")} <= one.keys()
    assert all(one[f"{split}/{split}.rec"] for split in ("train", "validation", "test"))
    facts = json.loads(one["dataset/dataset.json"])
    assert facts["classes"] == ["cats", "dogs", "wide birds"]
    if variant != "sample":  # which does without most of them
        assert facts["rejected"] == 3
        assert len(one["dataset/duplicates.csv"].splitlines()) > 5
    for count in COUNTS:
        assert packed[count].files.keys() == one.keys(), f"{count} instances"
        for path, content in packed[count].files.items():
            assert content == one[path], f"{path} of {count} instances"


def test_the_shards_were_really_packed_apart(pack: Callable[..., Packed], images: Path) -> None:
    packed = pack(5, PARAMETERS)
    assert [step.name for step in packed.record.steps] == ["Resolve", "Pack", "Preprocess"]
    steps = packed.directory / "steps"
    hosts = [f"algo-{number}" for number in range(1, 6)]
    assert sorted(path.name for path in (steps / "Pack").iterdir()) == hosts
    for host in hosts:
        resources = json.loads((steps / "Pack" / host / "config" / "resourceconfig.json").read_text())
        assert resources == {"current_host": host, "hosts": hosts}
        assert list((steps / "Pack" / host / "processing" / "output" / "pool" / host).iterdir())
        assert (packed.directory / "logs" / "Pack" / f"{host}.log").is_file()
    assert not (steps / "Preprocess" / "processing" / "input" / "data").exists()
