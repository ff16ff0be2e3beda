"""A job that is killed at any moment and restarted ends like one that was left alone."""

import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import pytest

from common.contract import ContainerError
from train import channels, checkpoints, hyperparameters, iterators, job
from train.checkpoints import Checkpoints
from train.learner import Learner

MakeJob = Callable[..., Path]
PROGRAM = Path(job.__file__).parents[1]


def start(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "train"],
        env=os.environ | {"ML_ROOT": str(root), "PYTHONPATH": str(PROGRAM)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def finish(root: Path) -> str:
    """Run a job to its end; returns its log."""
    process = start(root)
    out = process.communicate()[0]
    assert process.returncode == 0, out
    return out


def on_a_new_instance(root: Path) -> None:
    """All that SageMaker brings back after a spot interruption are the inputs and the checkpoints."""
    shutil.rmtree(root / "model", ignore_errors=True)


def artifact(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "model").iterdir()) if path.name != "training.json"}


def untimed(root: Path) -> dict[str, Any]:
    """training.json without what a clock measured."""
    content: dict[str, Any] = json.loads((root / "model" / "training.json").read_text())
    for epoch in content["epochs"]:
        for name in ("seconds", "images_per_second", "data_wait_fraction", "system"):
            del epoch[name]
    return content


def metric_lines(log: str) -> list[str]:
    return re.findall(r"^(?:Best: )?Epoch\[\d+\] (?:Train|Validation)-.*$", log, re.MULTILINE)


def assert_equal_ends(root: Path, reference: Path) -> None:
    assert artifact(root) == artifact(reference)
    assert untimed(root) == untimed(reference)


def test_killed_in_an_epoch_and_restarted(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> None:
    given = {"epochs": 4, "augmentation_type": "crop", "checkpoint_frequency": 2}
    reference = make_job(name="reference", **given)
    job.run(2)
    undisturbed = metric_lines(capfd.readouterr().out)
    killed = make_job(name="killed", **given)
    (killed / "checkpoints").mkdir()
    process = start(killed)
    assert process.stdout is not None
    before = next(line for line in process.stdout if line.startswith("Epoch[2] Train-accuracy"))
    process.kill()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    on_a_new_instance(killed)
    job.run(2)
    after = capfd.readouterr().out
    assert "Resumed from a checkpoint after 2 epochs" in after
    assert before.strip() in metric_lines(after)
    assert metric_lines(after) == [line for line in undisturbed if not line.startswith(("Epoch[0]", "Epoch[1]"))]
    assert_equal_ends(killed, reference)


def partial(folder: Path, pattern: str) -> Callable[[subprocess.Popen[str]], None]:
    """Wait until a file is being written, or the job has ended."""

    def wait(process: subprocess.Popen[str]) -> None:
        while process.poll() is None and not any(folder.glob(pattern)):
            time.sleep(0.001)

    return wait


def epochs(count: int, seconds: float) -> Callable[[subprocess.Popen[str]], None]:
    """Wait until so many epochs were validated, and somewhat longer, or the job has ended."""

    def wait(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        validated = (line for line in process.stdout if "Validation-accuracy" in line and line.startswith("Epoch"))
        if len(list(itertools.islice(validated, count))) == count:
            time.sleep(seconds)

    return wait


def moments(root: Path, seed: int) -> Iterator[Callable[[subprocess.Popen[str]], None]]:
    """In the middle of writing a checkpoint or a model file, or at any time after one epoch more."""
    random_numbers = random.Random(seed)
    while True:
        yield partial(root / "checkpoints", ".*.partial")
        yield partial(root / "model", ".*.params.*.partial")
        yield epochs(random_numbers.choice([1, 2]), random_numbers.uniform(0, 0.2))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_killed_again_and_again(make_job: MakeJob, optimizer: str) -> None:
    given = {"epochs": 8, "augmentation_type": "crop", "checkpoint_frequency": 3, "optimizer": optimizer}
    given |= {"learning_rate": 0.02 if optimizer == "sgd" else 0.002}
    reference, killed = make_job(name="reference", **given), make_job(name="killed", **given)
    (killed / "checkpoints").mkdir()
    finish(reference)
    kills = 0
    for moment in moments(killed, seed=3):
        process = start(killed)
        moment(process)
        process.kill()
        if process.wait() == 0:
            break
        kills += 1
        if kills % 2:
            on_a_new_instance(killed)
    assert kills >= 6
    assert_equal_ends(killed, reference)


def test_a_job_that_has_ended_ends_again(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> None:
    root = make_job(
        epochs=9, learning_rate=0, early_stopping=True, early_stopping_min_epochs=2, early_stopping_patience=1
    )
    (root / "checkpoints").mkdir()
    job.run(2)
    first, out = artifact(root), capfd.readouterr().out
    on_a_new_instance(root)
    job.run(2)
    again = capfd.readouterr().out
    assert artifact(root) == first
    assert out.splitlines()[-3:] == again.splitlines()[-3:]
    assert "Early stopping after epoch" in again
    assert "Train-accuracy" not in again


def test_sigterm_leaves_cleanly_and_the_job_goes_on(make_job: MakeJob) -> None:
    root = make_job(epochs=1000)
    (root / "checkpoints").mkdir()
    process = start(root)
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("Epoch[1] Train-accuracy"))
    process.send_signal(signal.SIGTERM)
    process.stdout.read()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert [path for folder in ("checkpoints", "model") for path in (root / folder).glob(".*")] == []
    assert Checkpoints(root / "checkpoints", {})._saved()


def learner(**given: str) -> tuple[Learner, hyperparameters.Hyperparameters]:
    base = {"num_classes": "3", "num_training_samples": "48", "num_layers": "20", "image_shape": "3,12,12"}
    chosen = hyperparameters.parse(base | {"mini_batch_size": "16"} | given)
    return Learner(chosen, contexts=[mx.cpu()], scored_batch=4), chosen


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"momentum": "0"},
        {"optimizer": "nag"},
        {"optimizer": "adam", "learning_rate": "0.001"},
        {"optimizer": "rmsprop", "learning_rate": "0.001"},
    ],
)
def test_every_optimizer_goes_on_from_its_state(make_job: MakeJob, tmp_path: Path, given: dict[str, str]) -> None:
    channel = channels.read("train", make_job() / "input/data/train")

    def epoch(which: Learner, number: int) -> None:
        for batch in iterators.training(channel, chosen, threads=2, epoch=number):
            which.step(batch)

    first, chosen = learner(**given)
    epoch(first, 0)
    second, _ = learner(**given, seed="5")
    mx.nd.save(str(tmp_path / "state"), first.state())
    second.restore(mx.nd.load(str(tmp_path / "state")), updates=first.updates)
    for each in (first, second):
        epoch(each, 1)
    expected, found = first.state(), second.state()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name].asnumpy(), value.asnumpy(), err_msg=name)


@pytest.fixture
def saved(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> Path:
    """A job after three epochs, the last two checkpoints of which are there."""
    root = make_job(epochs=3)
    (root / "checkpoints").mkdir()
    job.run(2)
    capfd.readouterr()
    return root


def test_two_checkpoints_stay_and_what_they_need(saved: Path) -> None:
    found = {path.name for path in (saved / "checkpoints").iterdir()}
    assert {name for name in found if name.endswith(".zip")} == {"checkpoint-0002.zip", "checkpoint-0003.zip"}
    needed = set()
    for name in ("checkpoint-0002.zip", "checkpoint-0003.zip"):
        with zipfile.ZipFile(saved / "checkpoints" / name) as archive:
            needed |= json.loads(archive.read("epochs.json"))["kept"].keys()
    assert {name for name in found if name.endswith(".params")} == needed


def damage_arrays(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def lose_parameters(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in json.loads(archive.read("epochs.json"))["kept"]:
            (path.parent / name).unlink()


@pytest.mark.parametrize("harm", [damage_arrays, cut_off])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    saved: Path, capfd: pytest.CaptureFixture[str], harm: Callable[[Path], None]
) -> None:
    expected = artifact(saved)
    harm(saved / "checkpoints" / "checkpoint-0003.zip")
    on_a_new_instance(saved)
    job.run(2)
    out = capfd.readouterr().out
    assert "Checkpoint checkpoint-0003.zip is damaged (" in out
    assert "Resumed from a checkpoint after 2 epochs" in out
    assert artifact(saved) == expected


def test_without_a_whole_checkpoint_the_job_starts_anew(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    expected = artifact(saved)
    lose_parameters(saved / "checkpoints" / "checkpoint-0003.zip")
    cut_off(saved / "checkpoints" / "checkpoint-0002.zip")
    on_a_new_instance(saved)
    job.run(2)
    out = capfd.readouterr().out
    assert re.search(r"checkpoint-0003.zip is damaged \(image-classification-000\d.params is missing or changed\)", out)
    assert "Epoch[0] Train-accuracy" in out
    assert artifact(saved) == expected


def test_a_damaged_copy_of_the_best_parameters_is_replaced(saved: Path, tmp_path: Path) -> None:
    """Else every checkpoint from there on would be as unusable as this one."""
    folder, path = tmp_path / "checkpoints", tmp_path / "image-classification-0002.params"
    folder.mkdir()
    path.write_bytes(b"whole parameters")
    results = Checkpoints(saved / "checkpoints", job_of(saved)).load(print).epochs
    keeper = Checkpoints(folder, {"a": 1})
    keeper.save(results[:2], updates=6, arrays={"x": mx.nd.ones(3)}, kept=[path])
    (folder / path.name).write_bytes(b"whole par")
    assert keeper.load(print) is None
    for count in (2, 3):
        keeper.save(results[:count], updates=3 * count, arrays={"x": mx.nd.ones(3)}, kept=[path])
    again = keeper.load(print)
    assert (again.epochs, again.updates, again.kept) == (results, 9, [folder / path.name])
    assert (folder / path.name).read_bytes() == b"whole parameters"


def job_of(root: Path) -> dict[str, Any]:
    with zipfile.ZipFile(root / "checkpoints" / "checkpoint-0003.zip") as archive:
        content: dict[str, Any] = json.loads(archive.read("job.json"))
    return content


def mutations(whole: bytes, count: int) -> Iterator[bytes]:
    """Cut off, one bit turned, 64 bytes lost to zeros: each at random places."""
    random_numbers = random.Random(0)
    for number in range(count):
        content, place = bytearray(whole), random_numbers.randrange(len(whole))
        if number % 3 == 0:
            del content[place:]
        elif number % 3 == 1:
            content[place] ^= 1 << random_numbers.randrange(8)
        else:
            content[place : place + 64] = bytes(len(content[place : place + 64]))
        yield bytes(content)


def small_checkpoint(folder: Path) -> Checkpoints:
    """A directory with one checkpoint of a result of no epoch."""
    folder.mkdir()
    keeper = Checkpoints(folder, {"a": 1})
    keeper.save([], updates=3, arrays={"x": mx.nd.ones(3)}, kept=[])
    return keeper


def test_any_damage_is_noticed(tmp_path: Path) -> None:
    """What is loaded is what was saved, or nothing, with a word; and saving goes on."""
    keeper = small_checkpoint(tmp_path / "checkpoints")
    (path,) = (tmp_path / "checkpoints").glob("*.zip")
    told: list[str] = []
    unnoticed = 0
    for content in mutations(path.read_bytes(), 600):
        path.write_bytes(content)
        found = keeper.load(told.append)
        if found is not None:
            unnoticed += 1
            assert (found.epochs, found.updates, found.arrays["x"].asnumpy().tolist()) == ([], 3, [1, 1, 1])
        checkpoints._kept_by(path)
    assert len(told) + unnoticed == 600
    assert len(told) > 400  # the rest is fields of the format that nothing depends on


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("job.json", b"7"),
        ("epochs.json", b"[]"),
        ("epochs.json", b"{}"),
        ("epochs.json", b'{"epochs": [], "updates": null, "kept": {}}'),
        ("epochs.json", b'{"epochs": [{"epoch": 0}], "updates": 1, "kept": {}}'),
        ("epochs.json", b'{"epochs": [], "updates": 1, "kept": 3}'),
        ("arrays.nd", b"no arrays"),
        ("arrays.nd", b""),
    ],
)
def test_whole_files_of_another_content_are_damage_too(tmp_path: Path, name: str, content: bytes) -> None:
    keeper = small_checkpoint(tmp_path / "checkpoints")
    (path,) = (tmp_path / "checkpoints").glob("*.zip")
    with zipfile.ZipFile(path) as archive:
        contents = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, old in contents.items():
            archive.writestr(member, content if member == name else old)
    told: list[str] = []
    assert keeper.load(told.append) is None
    assert [line.partition(" (")[0] for line in told] == ["Checkpoint checkpoint-0000.zip is damaged"]
    checkpoints._kept_by(path)


def test_an_error_of_the_disk_is_no_damage(tmp_path: Path) -> None:
    """Going on without the checkpoint would write over it."""
    keeper = small_checkpoint(tmp_path / "checkpoints")
    (tmp_path / "checkpoints" / "checkpoint-0001.zip").mkdir()
    with pytest.raises(IsADirectoryError):
        keeper.load(print)


def test_a_checkpoint_of_another_number_of_hosts_is_refused_by_name(
    saved: Path,
) -> None:
    identity = job_of(saved)
    assert identity["number of hosts"] == 1
    other = Checkpoints(saved / "checkpoints", identity | {"number of hosts": 2})
    with pytest.raises(ContainerError, match="is of another job, with number of hosts 1 instead of 2; give"):
        other.load(print)


def test_a_checkpoint_of_another_job_is_refused_by_name(saved: Path) -> None:
    path = saved / "input" / "config" / "hyperparameters.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"learning_rate": "0.01"}))
    with pytest.raises(
        ContainerError,
        match=r"checkpoint-0003.zip is of another job, with hyperparameter.learning_rate 0.05 instead of 0.01; give",
    ):
        job.run(2)
    assert len(list((saved / "checkpoints").glob("*.zip"))) == 2


def test_a_checkpoint_of_other_data_is_refused_by_name(saved: Path, make_job: MakeJob) -> None:
    other = make_job(name="other", epochs=3, validation=21)
    shutil.copytree(saved / "checkpoints", other / "checkpoints")
    with pytest.raises(ContainerError, match=r"is of another job, with channel\.validation "):
        job.run(2)


def test_data_sets_differ_by_labels_and_image_sizes(make_job: MakeJob) -> None:
    channel = channels.read("train", make_job() / "input/data/train")
    same = checkpoints.fingerprint(channel)
    assert same == checkpoints.fingerprint(channel._replace(path=Path("elsewhere.rec")))
    assert same != checkpoints.fingerprint(channel._replace(labels=channel.labels[::-1]))
    assert same != checkpoints.fingerprint(channel._replace(offsets=(*channel.offsets[:-1], channel.offsets[-1] + 4)))
