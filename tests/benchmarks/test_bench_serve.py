"""The serving benchmark: how it reads its programs, and that all of them run."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import http_load, serving, serving_workloads
from benchmarks.contestants import MXNET_PYTHON
from benchmarks.http_load import Load
from benchmarks.measure import BenchmarkError


def test_ratios_are_of_the_same_round():
    peer = [{"image": seconds} for seconds in (0.04, 0.08, 0.04)]
    ours = [{"http": seconds} for seconds in (0.01, 0.01, 0.02)]
    assert serving_workloads._ratio(peer, ours, "image", "http") == pytest.approx(4)


def test_waits_have_to_be_even_up_to_the_core_count_only():
    loads = [Load(requests=100, seconds=2, errors=errors, p50=0.01, p99=0.04) for errors in (0, 1, 0)]
    for even in (True, False):
        rate, p50, p99, tail, errors = serving_workloads._load_figures("int8", loads, even=even)
        assert [rate.value, p50.value, p99.value, tail.value] == pytest.approx([50, 10, 40, 4])
        assert tail.met is (False if even else None)
        assert (errors.value, errors.met) == (1, False)


def test_without_wrk_it_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(http_load.shutil, "which", lambda name: None)
    assert serving.main(["--quick", "--only", "load", "--scratch", str(tmp_path)]) == 1
    assert "wrk, which makes the load, is missing: install it (Debian: apt-get install wrk)" in capsys.readouterr().err


def test_without_images_it_says_what_it_needs(tmp_path, capsys):
    options = ["--only", "accuracy", "--images", str(tmp_path / "none"), "--scratch", str(tmp_path)]
    assert serving.main(options) == 1
    assert "give a folder of class folders to train on with --images" in capsys.readouterr().err


def test_a_program_that_fails_is_quoted(tmp_path):
    settings = {"model": str(tmp_path), "image": "none", "runs": 1}
    with pytest.raises(BenchmarkError, match=r"(?s)session_predict.py ended with 1: .*holds no model"):
        serving_workloads._printed(serving_workloads.sys.executable, "session_predict.py", settings)


@pytest.mark.slow
def test_a_quick_run_fills_in_every_field(tmp_path, monkeypatch, capsys):
    if not Path(MXNET_PYTHON).is_file():
        pytest.skip("needs the environment with MXNet: run make setup")
    chosen = ["accuracy", "start", "latency"] + (["load", "memory"] if shutil.which("wrk") else [])
    monkeypatch.setenv("IMGPIPE_TEST_DATA", str(tmp_path))
    only = [word for name in chosen for word in ("--only", name)]
    options = ["--quick", *only, "--json", str(tmp_path / "s.json"), "--scratch", str(tmp_path / "scratch")]
    assert serving.main(options) == 0, capsys.readouterr().err
    content = json.loads((tmp_path / "s.json").read_text())
    assert list(content["workloads"]) == chosen
    for workload in content["workloads"].values():
        assert workload["figures"]
    assert 0.2 < content["model"]["accuracy"]["mxnet"] <= 1
    assert content["model"]["accuracy"]["mxnet"] == content["model"]["accuracy"]["fp32"]
    assert list((tmp_path / "scratch").iterdir()) == []
    capsys.readouterr()
    assert serving.main(["--table", "--json", str(tmp_path / "s.json")]) == 0
    assert "| `latency` | int8, through HTTP, times lower latency than Module's |" in capsys.readouterr().out
