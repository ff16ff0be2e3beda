"""The benchmark measures what it says it does. Nothing here asserts how fast anything is."""

from __future__ import annotations

import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import pack, pictures, quality, records
from benchmarks.against_im2rec import Target, _against
from benchmarks.contestants import MXNET_PYTHON, Im2rec, Imgpipe, Job
from benchmarks.measure import BenchmarkError, Command, Cost, peak_memory, run
from benchmarks.report import Figure, Result, summary
from benchmarks.rounds import Entry, timed

MEBIBYTE = 1024**2
# A child of the child does the work, as im2rec.py's and imgpipe's workers do.
GRANDCHILD = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', sys.argv[1]]).returncode)"


def python(tmp_path: Path, code: str) -> Command:
    words = [sys.executable, "-c", GRANDCHILD, code]
    return Command(words=words, environment=dict(os.environ), log=tmp_path / "log.txt")


def test_cpu_time_of_descendants_counts(tmp_path):
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    cost = run(python(tmp_path, busy))
    assert cost.cpu_seconds > 0.3
    assert cost.wall_seconds > 0.3


def test_memory_of_descendants_counts(tmp_path):
    hold = "import time\nblock = b'x' * (150 << 20)\nend = time.monotonic() + 0.5\nwhile time.monotonic() < end: pass"
    assert 150 * MEBIBYTE < peak_memory(python(tmp_path, hold)) < 250 * MEBIBYTE


@pytest.mark.parametrize("measured", [run, peak_memory])
def test_a_failure_is_told_with_its_last_lines(tmp_path, measured):
    with pytest.raises(BenchmarkError, match=r"ended with 1: .*ZeroDivisionError"):
        measured(python(tmp_path, "1 / 0"))


def test_distinct_files_have_the_same_pixels():
    picture = Image.fromarray(np.arange(48 * 64 * 3, dtype=np.uint32).reshape(48, 64, 3).astype(np.uint8))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG")
    files = list(pictures.distinct([buffer.getvalue()], 50))
    assert len(set(files)) == 50
    decoded = {Image.open(io.BytesIO(data)).tobytes() for data in files}
    assert decoded == {Image.open(buffer).tobytes()}
    assert Image.open(io.BytesIO(files[7])).info["comment"] == b"000000007"


def test_without_photographs_the_embedded_ones_serve(tmp_path, monkeypatch):
    monkeypatch.setenv("IMGPIPE_TEST_DATA", str(tmp_path))
    base = pictures.load_base(None)
    assert {picture.size for picture in base.pictures} == {pictures.PHOTO}
    assert len({picture.tobytes() for picture in base.pictures}) == len(base.pictures) == 32
    first = Image.open(io.BytesIO(pictures.photo_files(base)[0]))
    assert (first.size, first.format) == (pictures.PHOTO, "JPEG")


def test_small_photographs_are_left_out_and_counted(tmp_path):
    for name, size in {"small": (400, 300), "wide": (800, 400), "high": (600, 900)}.items():
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    base = pictures.load_base(tmp_path)
    assert ([picture.size for picture in base.pictures], base.left_out) == ([(375, 500), (500, 375)], 1)
    (tmp_path / "wide.png").unlink()
    (tmp_path / "high.png").unlink()
    with pytest.raises(BenchmarkError, match="holds no photograph that covers 500x375"):
        pictures.load_base(tmp_path)


def test_large_files_have_twelve_megapixels():
    base = pictures.Base(pictures=[Image.new("RGB", pictures.PHOTO, "grey")], origin="test")
    (data,) = pictures.large_files(base, 1, noise=4)
    image = Image.open(io.BytesIO(data))
    assert image.size == (4000, 3000)
    assert np.asarray(image.crop((0, 0, 200, 200))).std() > 2


def test_ratios_are_medians_of_the_pairs_of_a_round():
    def entry(*walls: float) -> Entry:
        costs = [Cost(wall_seconds=wall, cpu_seconds=2 * wall) for wall in walls]
        return Entry(contestant=Imgpipe(), folder=Path(), job=Job(source=Path(), files=10, resize=0), costs=costs)

    figures = _against(entry(1, 2, 1), entry(3, 4, 10), "peer", Target(wall=3.0, cpu=3.1))
    assert [(figure.value, figure.met) for figure in figures] == [(3, True), (3, False), (3, None)]


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure(name="a", value=1.0), None),
        (Figure(name="a", value=2.0, target=2.0), True),
        (Figure(name="a", value=1.9, target=2.0), False),
        (Figure(name="a", value=1.9, target=2.0, below=True), True),
        (Figure(name="a", value=2.0, target=2.0, below=True), False),
    ],
)
def test_a_figure_knows_its_target(figure, met):
    assert figure.met is met
    assert figure.line().endswith({None: "", True: "yes", False: "no"}[met])
    result = Result(workload="w", what="", figures=[figure])
    assert summary([result]).startswith(f"{int(met is True)} of {int(met is not None)} targets met")


def test_psnr_is_that_of_the_formula():
    dark, light = Image.new("RGB", (4, 4), (0, 0, 0)), Image.new("RGB", (4, 4), (51, 51, 51))
    assert quality.psnr(light, dark) == pytest.approx(20 * np.log10(5))
    assert quality.psnr(dark, dark) == float("inf")


@pytest.fixture
def job(tmp_path):
    base = pictures.Base(pictures=[Image.new("RGB", pictures.PHOTO, "red")], origin="test")
    source = pictures.write_folder(tmp_path / "source", pictures.photo_files(base), 12)
    return Job(source=source, files=12, resize=64)


def test_ours_packs_and_is_read_back(job, tmp_path):
    entry = Entry(contestant=Imgpipe(), folder=tmp_path / "packed", job=job)
    entry.folder.mkdir()
    timed(entry)
    found = dict(records.images(entry.contestant.output(entry.folder)))
    assert sorted(found) == sorted(path.relative_to(job.source).as_posix() for path in job.source.rglob("*.jpg"))
    assert {Image.open(io.BytesIO(data)).size for data in found.values()} == {(85, 64)}
    assert quality.quality(entry.contestant.output(entry.folder), job.source).psnr > 40


def test_a_contestant_that_leaves_images_out_has_not_won(job, tmp_path):
    entry = Entry(contestant=Imgpipe(), folder=tmp_path / "packed", job=replace(job, files=13))
    entry.folder.mkdir()
    with pytest.raises(BenchmarkError, match="imgpipe pack packed 12 of 13 images"):
        timed(entry)


def test_a_payload_with_the_magic_is_read_back(tmp_path):
    file = tmp_path / "a.rec"
    magic, head = b"\x0a\x23\xd7\xce", bytes(24)
    parts = [(1, head + b"ab12"), (3, b"xyz")]
    file.write_bytes(
        b"".join(
            magic + (flag << 29 | len(data)).to_bytes(4, "little") + data + bytes(-len(data) % 4)
            for flag, data in parts
        )
    )
    file.with_suffix(".idx").write_text("3\t0\n")
    file.with_suffix(".lst").write_text("3\t0.000000\tc/a b.jpg\n")
    assert list(records.images(file)) == [("c/a b.jpg", b"ab12" + magic + b"xyz")]


def test_the_older_opencv_comes_first_on_the_peers_path(job, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setattr("benchmarks.contestants.im2rec_script", lambda: Path("im2rec.py"))
    peer = Im2rec(opencv="1.2", threads=3, libraries=tmp_path)
    command = peer.command(job, tmp_path)
    assert command.environment["PYTHONPATH"] == str(tmp_path)
    assert command.words[2:] == ["--num-thread", "3", "--resize", "64", "--quality", "95", *command.words[-2:]]
    assert "PYTHONPATH" not in Im2rec(opencv="1.2", threads=3).command(job, tmp_path).environment


@pytest.mark.slow
def test_a_quick_run_fills_in_every_field(tmp_path, monkeypatch, capsys):
    if not MXNET_PYTHON.is_file():
        pytest.skip("needs the environment with MXNet: run make setup")
    monkeypatch.setenv("IMGPIPE_TEST_DATA", str(tmp_path))
    assert pack.main(["--quick", "--json", str(tmp_path / "pack.json"), "--scratch", str(tmp_path / "scratch")]) == 0
    found = json.loads((tmp_path / "pack.json").read_text())
    assert list(found["workloads"]) == list(pack.WORKLOADS)
    assert found["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert "SIMD" in found["versions"]["im2rec"][0]["opencv_jpeg"]
    for workload in found["workloads"].values():
        assert all(set(figure) == {"name", "value", "target", "below", "met"} for figure in workload["figures"])
        for entry in workload["contestants"]:
            assert min(entry["images_per_second"], entry["cpu_seconds"], entry["peak_bytes"]) > 0
            assert len(entry["rounds"]) == 1
    assert list((tmp_path / "scratch").iterdir()) == []
    assert "targets met" in capsys.readouterr().out
    assert pack.main(["--table", "--json", str(tmp_path / "pack.json")]) == 0
    figures = [figure for workload in found["workloads"].values() for figure in workload["figures"]]
    targets = sum(figure["target"] is not None for figure in figures)
    assert len(capsys.readouterr().out.splitlines()) == 2 + targets > 2
