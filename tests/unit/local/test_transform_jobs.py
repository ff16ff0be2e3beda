"""Transform steps: the model's container is started, asked once for each object, and ended."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
from typing import Any

import pytest
from small_pipeline import BUCKET, ROLE, TUNED_IMAGE_URI, Json, Laboratory, Recorder, below_execution, get

from local.executor.definition import Step

# Answers with the request's body in capitals and what the model's file says; refuses what begins with "bad".
SERVER = """
import http.server, os, pathlib, signal, sys
signal.alarm(60)
model = (pathlib.Path(os.environ['ML_ROOT']) / 'model' / 'model.txt').read_text()
print('serving', os.getpid(), '_'.join(sys.argv[1:]), os.environ.get('EXTRA'), flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, b'')
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        if body == b'die':
            os._exit(3)
        kind = self.headers['Content-Type'].encode()
        if body.startswith(b'bad'):
            self.answer(400, b'{"error": {"code": "not_an_image", "message": "no image"}}')
        else:
            self.answer(200, model.encode() + b' ' + kind + b' ' + body.upper())
    def answer(self, status, body):
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['SAGEMAKER_BIND_TO_PORT'])), Handler).serve_forever()
"""


@pytest.fixture
def model_uri(laboratory: Laboratory) -> str:
    """A model.tar.gz with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("model.txt")
        member.size = len(b"weights")
        archive.addfile(member, io.BytesIO(b"weights"))
    laboratory.account.client("s3").put_object(Bucket=BUCKET, Key="model.tar.gz", Body=buffer.getvalue())
    return f"s3://{BUCKET}/model.tar.gz"


def _model(container: Json) -> Json:
    arguments = {"ExecutionRoleArn": ROLE, "Containers": [container], "EnableNetworkIsolation": True}
    return {"Name": "CreateModel", "Type": "Model", "Arguments": arguments}


def _served(model_uri: str, program: str = SERVER) -> Json:
    return {"Image": TUNED_IMAGE_URI, "ModelDataUrl": model_uri, "Environment": {"PROGRAM": program}}


def _transform(source: Any, kind: str = "S3Prefix", **more: Any) -> Json:
    return {
        "Name": "Transform",
        "Type": "Transform",
        "Arguments": {
            "ModelName": get("Steps.CreateModel.ModelName"),
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": source}},
                "ContentType": "application/x-image",
            },
            "TransformOutput": {"S3OutputPath": below_execution("transform")},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            "MaxConcurrentTransforms": 2,
            **more,
        },
    }


def _answers(laboratory: Laboratory) -> dict[str, str]:
    s3 = laboratory.account.client("s3")
    stored = laboratory.keys()
    keys = [key for key in stored if key.endswith(".out")]
    return {
        key.split("/transform/", 1)[1]: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() for key in keys
    }


def _job(laboratory: Laboratory) -> Json:
    sagemaker = laboratory.account.client("sagemaker")
    [listed] = sagemaker.list_transform_jobs()["TransformJobSummaries"]
    described: Json = sagemaker.describe_transform_job(TransformJobName=listed["TransformJobName"])
    return described


def test_every_object_of_a_prefix_is_answered(laboratory: Laboratory, model_uri: str) -> None:
    for key in ("one.txt", "deep/er/two.txt"):
        laboratory.put(f"in/{key}", key)
    recorder = Recorder()
    steps = [_model(_served(model_uri)), _transform(f"s3://{BUCKET}/in/")]
    result = laboratory.run(steps, observer=recorder)
    assert result.record.failure_reason is None
    assert _answers(laboratory) == {
        "one.txt.out": "weights application/x-image ONE.TXT",
        "deep/er/two.txt.out": "weights application/x-image DEEP/ER/TWO.TXT",
    }
    job = _job(laboratory)
    assert (job["TransformJobStatus"], job.get("FailureReason")) == ("Completed", None)
    assert result.step("Transform").metadata["TransformJob"]["Arn"] == job["TransformJobArn"]
    [(_, line)] = [item for item in recorder.lines if item[1].startswith("serving")]
    _, process, argument, _ = line.split()
    assert argument == "serve_--host_127.0.0.1", "a process listens on loopback alone, as Docker publishes"
    with pytest.raises(ProcessLookupError):
        os.kill(int(process), 0)


def test_a_manifest_names_what_is_answered(laboratory: Laboratory, model_uri: str) -> None:
    for key in ("one.txt", "two.txt", "deep/three.txt"):
        laboratory.put(f"in/{key}", key)
    manifest = laboratory.put(
        "manifest.json", json.dumps([{"prefix": f"s3://{BUCKET}/in/"}, "deep/three.txt", "one.txt"])
    )
    result = laboratory.run([_model(_served(model_uri)), _transform(manifest, "ManifestFile")])
    assert result.record.failure_reason is None
    assert sorted(_answers(laboratory)) == ["deep/three.txt.out", "one.txt.out"]


def test_a_model_of_a_package_runs_the_packages_image_with_its_own_environment(
    laboratory: Laboratory, model_uri: str
) -> None:
    sagemaker = laboratory.account.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="models")
    arn = sagemaker.create_model_package(
        ModelPackageGroupName="models",
        InferenceSpecification={
            "Containers": [_served(model_uri) | {"Environment": {"PROGRAM": SERVER, "EXTRA": "package's"}}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    laboratory.put("in/one.txt", "one")
    recorder = Recorder()
    steps = [
        _model({"ModelPackageName": arn, "Environment": {"EXTRA": "model's"}}),
        _transform(f"s3://{BUCKET}/in/", Environment={"UNUSED": "x"}),
    ]
    result = laboratory.run(steps, observer=recorder)
    assert result.record.failure_reason is None
    assert any(line.endswith("model's") for _, line in recorder.lines)


def test_refused_objects_fail_the_job_after_the_others_were_answered(laboratory: Laboratory, model_uri: str) -> None:
    for number in range(3):
        laboratory.put(f"in/{number}.txt", "bad" if number == 1 else "good")
    laboratory.put("in/large.txt", "x" * (2**20 + 1))
    result = laboratory.run([_model(_served(model_uri)), _transform(f"s3://{BUCKET}/in/", MaxPayloadInMB=1)])
    reason = "ClientError: 2 of 4 objects were refused, the first: in/1.txt: status 400: no image"
    assert result.step("Transform").failure_reason == reason
    assert sorted(_answers(laboratory)) == ["0.txt.out", "2.txt.out"]
    job = _job(laboratory)
    assert (job["TransformJobStatus"], job["FailureReason"]) == ("Failed", reason)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit(7)", "AlgorithmError: the model's container ended before it was ready, see its log"),
        (SERVER, "AlgorithmError: the model's container does not answer"),
    ],
)
def test_a_container_that_ends(laboratory: Laboratory, model_uri: str, program: str, reason: str) -> None:
    laboratory.put("in/one.txt", "die")
    result = laboratory.run([_model(_served(model_uri, program)), _transform(f"s3://{BUCKET}/in/")])
    assert str(result.step("Transform").failure_reason).startswith(reason)
    assert _job(laboratory)["TransformJobStatus"] == "Failed"


@pytest.mark.parametrize(
    ("source", "kind", "reason"),
    [
        ("s3://artifacts/none/", "S3Prefix", "ClientError: s3://artifacts/none/ names no object"),
        ("s3://artifacts/manifest.json", "ManifestFile", "leads out of the output: rename the object"),
    ],
)
def test_inputs_that_cannot_be(laboratory: Laboratory, model_uri: str, source: str, kind: str, reason: str) -> None:
    laboratory.put("manifest.json", json.dumps([{"prefix": f"s3://{BUCKET}/in/"}, "../one.txt"]))
    result = laboratory.run([_model(_served(model_uri)), _transform(source, kind)])
    assert reason in str(result.step("Transform").failure_reason)


def test_a_damaged_artifact(laboratory: Laboratory) -> None:
    laboratory.put("in/one.txt")
    container = _served(laboratory.put("model.tar.gz", "no archive"))
    result = laboratory.run([_model(container), _transform(f"s3://{BUCKET}/in/")])
    assert "model.tar.gz is no gzip archive" in str(result.step("Transform").failure_reason)


def test_an_interrupt_ends_the_container(laboratory: Laboratory, model_uri: str) -> None:
    laboratory.put("in/one.txt")
    processes: list[int] = []

    def interrupt(step: Step, line: str) -> None:
        if line.startswith("serving"):
            processes.append(int(line.split()[1]))
            os.kill(os.getpid(), signal.SIGINT)

    steps = [_model(_served(model_uri)), _transform(f"s3://{BUCKET}/in/")]
    result = laboratory.run(steps, observer=Recorder(on_line=interrupt))
    assert result.record.status == "Stopped"
    assert _job(laboratory)["TransformJobStatus"] in ("Stopped", "Completed")
    with pytest.raises(ProcessLookupError):
        os.kill(processes[0], 0)
