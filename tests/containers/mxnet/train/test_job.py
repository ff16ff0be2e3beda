"""Whole training jobs on small images: log lines, artifact, determinism, errors in output/failure."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from small_images import SIDE, image

from common.contract import ContainerError
from train import artifacts, job
from train.fit import Trainer

MakeJob = Callable[..., Path]
PROGRAM = Path(job.__file__).parents[1]


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m train` as the container runs it."""
    return subprocess.run(
        [sys.executable, "-m", "train", *arguments],
        env=os.environ | {"ML_ROOT": str(root), "PYTHONPATH": str(PROGRAM)},
        capture_output=True,
        text=True,
        check=False,
    )


def values(log: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf"^Epoch\[\d+\] {name}=(\S+)$", log, re.MULTILINE)]


def untimed(log: str) -> list[str]:
    return [line for line in log.splitlines() if "Time cost" not in line and "Speed" not in line]


def parameters(root: Path) -> list[Path]:
    return sorted((root / "model").glob("*.params"))


def predict(root: Path, images: np.ndarray) -> np.ndarray:
    """Probabilities of (N, 3, H, W) images by the written artifact, loaded as any MXNet user would."""
    epoch = int(parameters(root)[0].stem[-4:])
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(root / "model" / artifacts.PREFIX), epoch)
    module = mx.mod.Module(symbol, context=mx.cpu())
    module.bind(data_shapes=[("data", images.shape)], for_training=False)
    module.set_params(arguments, auxiliary)
    module.forward(mx.io.DataBatch([mx.nd.array(images)]), is_train=False)
    return module.get_outputs()[0].asnumpy()


def unseen(count: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(count) % 3
    images = np.stack([image(label, 90_000 + index) for index, label in enumerate(labels)])
    return images.transpose(0, 3, 1, 2).astype(np.float32), labels


def test_a_job_learns_and_its_artifact_predicts(make_job: MakeJob) -> None:
    root = make_job(train=90, validation=25, epochs=6, top_k=2, augmentation_type="crop", kv_store="dist_sync")
    done = run(root, "train")
    assert done.returncode == 0, done.stderr
    accuracy = values(done.stdout, "Validation-accuracy")
    assert len(accuracy) == len(values(done.stdout, "Train-accuracy")) == len(values(done.stdout, "Time cost")) == 6
    assert max(accuracy) >= 0.9
    assert len(values(done.stdout, "Validation-top_k_accuracy_2")) == 6
    assert "kv_store=dist_sync has no effect on one instance" in done.stdout
    # Every accuracy is a count of the 25 validation records: a padded record would show as another fraction.
    assert all(share * 25 == pytest.approx(round(share * 25), abs=1e-3) for share in accuracy)
    assert accuracy[int(parameters(root)[0].stem[-4:]) - 1] == max(accuracy)
    assert sorted(path.name for path in (root / "model").iterdir()) == [
        parameters(root)[0].name, "image-classification-symbol.json", "model-shapes.json",
    ]  # fmt: skip
    images, labels = unseen(60)
    assert (predict(root, images).argmax(axis=1) == labels).mean() >= 0.9


def test_the_artifact_scores_what_the_log_says(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> None:
    """The scorer must not go on with the first epoch's weights, and the moving statistics must be saved settled."""
    root = make_job(train=60, validation=21, epochs=3, learning_rate=0.02, checkpoint_frequency=1)
    job.run(2)
    logged = values(capfd.readouterr().out, "Validation-cross-entropy")
    labels = np.arange(21) % 3
    images = np.stack([image(label, 10_000 + index) for index, label in enumerate(labels)]).transpose(0, 3, 1, 2)
    for path, expected in zip(parameters(root), logged, strict=True):
        for other in parameters(root):
            if other != path:
                other.rename(other.with_suffix(".hidden"))
        probabilities = predict(root, images.astype(np.float32))
        for hidden in (root / "model").glob("*.hidden"):
            hidden.rename(hidden.with_suffix(".params"))
        loss = -np.log(probabilities[np.arange(21), labels]).mean()
        assert loss == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("augmentation", ["none", "crop_color_transform"])
def test_equal_seeds_give_equal_metrics(
    make_job: MakeJob, capfd: pytest.CaptureFixture[str], augmentation: str
) -> None:
    def log_of(name: str, seed: int) -> tuple[list[str], bytes]:
        root = make_job(train=50, name=name, seed=seed, augmentation_type=augmentation)
        job.run(2)
        return untimed(capfd.readouterr().out), parameters(root)[0].read_bytes()

    first, again, other = log_of("first", 7), log_of("again", 7), log_of("other", 8)
    assert first == again
    assert first[0] != other[0]


def test_separate_processes_agree(make_job: MakeJob) -> None:
    logs = [untimed(run(make_job(epochs=1, name=name, augmentation_type="crop")).stdout) for name in ("a", "b")]
    assert len(logs[0]) > 4
    assert logs[0] == logs[1]


def test_operations_run_in_program_order(make_job: MakeJob) -> None:
    # With the threaded engine runs of some hundred batches drift apart, too rarely for a test of this size to see.
    assert "engine: NaiveEngine" in run(make_job(epochs=1)).stderr


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.05), ("nag", 0.05), ("adam", 0.005), ("rmsprop", 0.002)])
def test_every_optimizer_lowers_the_loss(
    make_job: MakeJob, capfd: pytest.CaptureFixture[str], optimizer: str, rate: float
) -> None:
    make_job(train=64, optimizer=optimizer, learning_rate=rate, epochs=3)
    job.run(2)
    losses = values(capfd.readouterr().out, "Train-cross-entropy")
    assert losses[-1] < 0.7 * losses[0]


def test_batch_lines_have_speed_and_accuracy(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> None:
    make_job(train=84, mini_batch_size=4, epochs=1)
    job.run(2)
    lines = [line for line in capfd.readouterr().out.splitlines() if " Batch " in line]
    assert len(lines) == 1
    assert re.match(r"Epoch\[0\] Batch \[20\]\tSpeed: \d+\.\d\d samples/sec\taccuracy=[01]\.\d+", lines[0])


def test_early_stopping_ends_the_job(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> None:
    make_job(
        learning_rate=0,
        epochs=9,
        early_stopping=True,
        early_stopping_min_epochs=2,
        early_stopping_patience=1,
        early_stopping_tolerance=1,
    )
    job.run(2)
    out = capfd.readouterr().out
    assert "Early stopping after epoch 1: best validation accuracy" in out
    assert len(values(out, "Validation-accuracy")) == 2


def test_the_best_epoch_is_kept_not_the_last(
    make_job: MakeJob, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_job(epochs=4)
    validate = Trainer._validate

    class Scores:
        def __init__(self, accuracy: float, loss: float) -> None:
            self.accuracy, self.loss = accuracy, loss

    scores = iter([Scores(0.5, 1.0), Scores(0.8, 0.9), Scores(0.8, 0.7), Scores(0.6, 0.1)])

    def scripted(self: Trainer, epoch: int) -> Scores:
        validate(self, epoch)
        return next(scores)

    monkeypatch.setattr(Trainer, "_validate", scripted)
    job.run(2)
    assert [path.name for path in parameters(root)] == ["image-classification-0003.params"]


def test_fewer_validation_records_than_a_batch(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> None:
    make_job(validation=3, epochs=1)
    job.run(2)
    assert values(capfd.readouterr().out, "Validation-accuracy")[0] in (0.0, 0.333333, 0.666667, 1.0)


def test_nan_stops_with_epoch_and_batch(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_job(epochs=3)
    initialize = Trainer.__init__

    def poisoned(self: Trainer, **arguments: object) -> None:
        initialize(self, **arguments)  # type: ignore[arg-type]
        self._optimizer.rescale_grad = float("nan")

    monkeypatch.setattr(Trainer, "__init__", poisoned)
    with pytest.raises(ContainerError, match=r"training loss is NaN in epoch 0, batch 2; lower learning_rate"):
        job.run(2)
    assert parameters(root) == []


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("resourceconfig.json", {"hosts": ["algo-1", "algo-2"]}, "the job has 2 instances"),
        ("inputdataconfig.json", {"train": {}, "model": {}}, "incremental training is not available"),
        ("inputdataconfig.json", {"train": {}, "train_lst": {}}, "channel train_lst is unknown"),
        ("inputdataconfig.json", {"train": {"TrainingInputMode": "Pipe"}}, "channel train is in Pipe mode"),
    ],
)
def test_what_the_own_image_cannot_do_is_refused(
    make_job: MakeJob, file: str, content: dict[str, object], message: str
) -> None:
    root = make_job()
    (root / "input" / "config" / file).write_text(json.dumps(content))
    with pytest.raises(ContainerError, match=message):
        job.run(2)


def test_sagemakers_own_configuration_passes(make_job: MakeJob) -> None:
    root = make_job(epochs=1)
    config = root / "input" / "config"
    resources = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
    channel = {"ContentType": "application/x-recordio", "TrainingInputMode": "File", "RecordWrapperType": "None"}
    (config / "resourceconfig.json").write_text(json.dumps(resources))
    (config / "inputdataconfig.json").write_text(json.dumps({"train": channel, "validation": channel}))
    job.run(2)
    assert len(parameters(root)) == 1


@pytest.mark.parametrize(
    ("given", "arguments", "message"),
    [
        ({"epochs": "many"}, [], "hyperparameter epochs is 'many'; allowed: a whole number of at least 1"),
        ({"num_training_samples": 49}, ["train"], "num_training_samples is 49, but train.rec holds 48 records"),
        ({}, ["serve"], "argument 'serve' is unknown; allowed: train, or none"),
    ],
)
def test_an_error_is_one_line_in_output_failure(
    make_job: MakeJob, given: dict[str, object], arguments: list[str], message: str
) -> None:
    root = make_job(**given)
    done = run(root, *arguments)
    assert done.returncode == 1
    failure = (root / "output" / "failure").read_text()
    assert failure.startswith(message)
    assert "\n" not in failure.strip()
    assert "Traceback" not in done.stderr
    assert not (root / "model").exists()


def test_a_stopped_job_leaves_the_best_so_far(make_job: MakeJob) -> None:
    root = make_job(epochs=1000)
    process = subprocess.Popen(
        [sys.executable, "-m", "train"],
        env=os.environ | {"ML_ROOT": str(root), "PYTHONPATH": str(PROGRAM)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Epoch[1] Train-accuracy"):
            process.send_signal(signal.SIGTERM)
            break
    start = time.monotonic()
    process.stdout.read()
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert time.monotonic() - start < 30
    assert len(parameters(root)) == 1
    images, _ = unseen(3)
    assert predict(root, images).shape == (3, 3)
    assert all(not path.name.startswith(".") for path in (root / "model").iterdir())


def test_the_image_shape_need_not_be_square(make_job: MakeJob) -> None:
    root = make_job(epochs=1, image_shape=f"3,{SIDE - 4},{SIDE}")
    job.run(2)
    assert predict(root, np.zeros((1, 3, SIDE - 4, SIDE), np.float32)).shape == (1, 3)
