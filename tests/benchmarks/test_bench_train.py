"""The training benchmark: how it reads the logs, and that both programs run."""

import json
from pathlib import Path

import pytest

from benchmarks import training
from benchmarks.contestants import MXNET_PYTHON
from benchmarks.measure import BenchmarkError
from benchmarks.trainers import Job, ModuleFit, OurTrainer, Training


@pytest.fixture
def job(tmp_path):
    sizes = {"num_layers": 20, "side": 32, "short_side": 32, "batch_size": 16, "epochs": 4}
    return Job(records=tmp_path / "train.rec", images=64, classes=10, **sizes)


def test_the_speed_is_the_median_of_the_epochs_after_the_first(job, tmp_path):
    times = [99.0, 2.0, 8.0, 4.0]
    log = [f"Epoch[{number}] Time cost={seconds:.3f}" for number, seconds in enumerate(times)]
    (tmp_path / "log.txt").write_text("\n".join(["noise", *log]))
    assert ModuleFit().result(job, tmp_path) == Training(images_per_second=16.0)
    (tmp_path / "model").mkdir()
    epochs = [{"data_wait_fraction": share} for share in (0.9, 0.1, 0.3, 0.2)]
    (tmp_path / "model" / "training.json").write_text(json.dumps({"epochs": epochs}))
    assert OurTrainer().result(job, tmp_path) == Training(images_per_second=16.0, data_wait=0.2)


def test_a_log_that_lacks_epochs_is_no_result(job, tmp_path):
    (tmp_path / "log.txt").write_text("Epoch[0] Time cost=1.000")
    with pytest.raises(BenchmarkError, match="has the times of 1 epochs, not of 4"):
        ModuleFit().result(job, tmp_path)


def test_neither_is_told_threads_or_engine(job, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MXNET_ENGINE_TYPE", "NaiveEngine")
    for name in ("train.rec", "validation.rec"):
        (tmp_path / name).touch()
    for number, contestant in enumerate((OurTrainer(), ModuleFit())):
        folder = tmp_path / str(number)
        folder.mkdir()
        environment = contestant.command(job, folder).environment
        assert not [name for name in environment if name.startswith(("OMP", "MXNET"))]
    given = json.loads((tmp_path / "0/input/config/hyperparameters.json").read_text())
    settings = json.loads(ModuleFit().command(job, tmp_path).words[-1])
    assert given["mini_batch_size"] == str(settings["batch_size"])
    assert given["augmentation_type"] == settings["augmentation"]


def test_ratios_are_of_the_same_round():
    ours = [Training(images_per_second=speed, data_wait=0.02) for speed in (30.0, 20.0, 40.0)]
    peer = [Training(images_per_second=speed) for speed in (10.0, 10.0, 20.0)]
    figures = training._figures(ours, peer)
    assert [figure.value for figure in figures] == [30, 10, 2, 2, 2]
    assert [figure.met for figure in figures] == [None, None, True, None, True]


@pytest.mark.slow
def test_a_quick_run_fills_in_every_field(tmp_path, monkeypatch, capsys):
    if not Path(MXNET_PYTHON).is_file():
        pytest.skip("needs the environment with MXNet: run make setup")
    monkeypatch.setenv("IMGPIPE_TEST_DATA", str(tmp_path))
    options = ["--quick", "--only", "small", "--json", str(tmp_path / "t.json"), "--scratch", str(tmp_path / "scratch")]
    assert training.main(options) == 0
    (found,) = json.loads((tmp_path / "t.json").read_text())["workloads"].values()
    assert all(figure["value"] >= 0 for figure in found["figures"])
    assert [len(runs) for runs in found["trainings"].values()] == [1, 1]
    assert list((tmp_path / "scratch").iterdir()) == []
    capsys.readouterr()
    assert training.main(["--table", "--json", str(tmp_path / "t.json")]) == 0
    assert "| `small` | images/s, times Module.fit's |" in capsys.readouterr().out
