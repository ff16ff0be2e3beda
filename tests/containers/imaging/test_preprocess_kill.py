"""Whatever ends the packer in the middle: nothing half-written is visible, and the next run gives the same bytes."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packing_programs import (
    FOLDER,
    PATIENCE_SECONDS,
    Done,
    check_leaves_nothing,
    check_nothing_is_lost,
    finish,
    pack_container,
    pack_folder,
    start,
)
from pictures import encoded, gradient

from common.recordio import read_records

MakeFolder = Callable[..., Path]

# Every driver is the packing program with something done to it first; its first arguments are the driver's own.
BEGIN = """
import errno, mmap, os, signal, sys, time
import common.files, preprocess.fill, preprocess.pack
from common.contract import run
from preprocess import folder
"""
END = """
run(folder.main, failure_file=None)
"""

# Counts, over all processes, what changes the disk, and does ``sys.argv[1]`` at moment number ``sys.argv[2]``. The
# first write to each file is done in halves, with a moment between them. In the end it tells of which kind they were.
MOMENTS = (
    BEGIN
    + """
resource = __import__("resource")
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
action, target = sys.argv[1], int(sys.argv[2])
del sys.argv[1:3]
main, shared, kinds = os.getpid(), mmap.mmap(-1, 65536), ["fork", "convert", "pwritev", "write"]

def moment(kind):
    number = int.from_bytes(shared[:8], "little") + 1
    shared[:8] = number.to_bytes(8, "little")
    shared[7 + number] = kinds.index(kind)
    if number != target:
        return
    if action == "kill all":
        os.killpg(0, signal.SIGKILL)
    elif action == "kill parent":
        os.kill(main, signal.SIGKILL)
    elif action == "kill worker" and os.getpid() != main:
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "terminate":
        os.kill(main, signal.SIGTERM)
    elif action == "interrupt":
        os.killpg(0, signal.SIGINT)
    elif action == "no space":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

def with_moments(module, name):
    original = getattr(module, name)
    kinds.append(name)
    def wrapped(*arguments, **options):
        if name == "mkdir" and os.path.isdir(arguments[0]):  # takes no space and changes nothing
            return original(*arguments, **options)
        moment(name)
        result = original(*arguments, **options)
        if action != "no space":
            moment(name)
        return result
    setattr(module, name, wrapped)

for name in ("fsync", "mkdir") + (() if action == "no space" else ("replace", "unlink", "rmdir", "pwrite")):
    with_moments(os, name)
if action != "no space":
    original_fork = os.fork
    os.fork = lambda: (moment("fork"), original_fork())[1]
original_convert = preprocess.fill.convert

def convert(*arguments):
    if action != "no space":
        moment("convert")
    return original_convert(*arguments)

def pwritev(file, buffers, offset):
    moment("pwritev")
    whole = b"".join(buffers)
    written = os.pwrite(file, whole[: (len(whole) + 1) // 2], offset)
    moment("pwritev")
    return written

original_write = common.files._NamingFile.write

def write(self, data):
    whole = memoryview(data).cast("B")
    half = len(whole) if hasattr(self, "halved") else (len(whole) + 1) // 2
    self.halved = True
    try:
        moment("write")
        written = original_write(self, whole[:half])
        moment("write")
    except OSError as error:
        error.filename = os.fspath(self._target)
        raise
    return written

preprocess.fill.convert, os.pwritev, common.files._NamingFile.write = convert, pwritev, write
original_main = folder.main

def counted():
    original_main()
    print("moments", *(kinds[kind] for kind in shared[8 : 8 + int.from_bytes(shared[:8], "little")]))

folder.main = counted
"""
    + END
)


def drive(driver: str, own: list[str], source: Path, out: Path, *arguments: str, **options: object) -> Done:
    """Run a driver to its end; it is alone in its process group."""
    command = ["-c", driver, *own, str(source), str(out), *arguments]
    return finish(start(command, start_new_session=True, **options), out)


class Liveness:
    """A pipe whose end says that a program and all processes that it forked have gone."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def started(self) -> None:
        os.close(self.writer)

    def all_gone(self) -> bool:
        """Wait until no process is left; False when one still is after a while."""
        ready, _, _ = select.select([self.reader], [], [], PATIENCE_SECONDS / 4)
        return bool(ready) and os.read(self.reader, 1) == b""


@pytest.fixture
def liveness() -> Iterator[Liveness]:
    pipe = Liveness()
    yield pipe
    os.close(pipe.reader)


@pytest.fixture
def source(make_folder: MakeFolder) -> Path:
    """Two classes of ten, and a bad image, so that files written to plan have to be written anew as well."""
    folder = make_folder(cat=10, dog=10)
    (folder / "cat/bad.png").write_bytes(b"bad")
    return folder


# Without decoding a run takes a fifth of the time, and writes what it packs to plan: straight into the records.
PLANNED = ("--resize", "0", "--pass-through", "--threads", "1", "--max-rejected", "1", "--seed", "1")
POOLED = (*PLANNED[2:], "--resize", "0", "--crop", "none")


def old_output(source: Path, out: Path) -> dict[str, bytes]:
    """Put the output of an earlier run with another seed into ``out``."""
    done = pack_folder(source, out, *PLANNED, "--seed", "2", "--train", "1")
    assert done.code == 0, done.err
    return done.files


def moments_of(action: str, source: Path, out: Path) -> tuple[list[str], Done]:
    """Return the kinds of all moments of a run in their order, and the run."""
    done = drive(MOMENTS, [action, "0"], source, out, *PLANNED)
    assert done.code == 0, done.err
    return done.out.rpartition("moments ")[2].split(), done


def chosen(kinds: list[str], *, thorough: bool, part: int, parts: int, at_least: int) -> list[int]:
    """Return the numbers of the moments to try: every few ones, or first and last of each kind and what lies evenly.

    The latter are dealt out to ``parts`` tests; the very first and the very last moment are tried in all.
    """
    count = len(kinds)
    if thorough:
        return list(range(1 + part, count + 1, parts))
    of_kind = [[number for number, kind in enumerate(kinds, start=1) if kind == name] for name in dict.fromkeys(kinds)]
    special = sorted({number for numbers in of_kind for number in (numbers[0], numbers[-1])} - {1, count})
    evenly = [1 + (count - 1) * (2 * step + 1) // (2 * at_least) for step in range(at_least)]
    return sorted({1, count, *special[part::parts], *evenly[part::parts]})


THOROUGH = pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)])


def check_visible(out: Path, old: dict[str, bytes], new: dict[str, bytes], when: str) -> None:
    """Check that whatever can be seen is whole, from one run, and complete where the seal says so."""
    found = out.iterdir() if out.exists() else ()
    seen = {path.name: path.read_bytes() for path in found if path.is_file() and path.name[0] != "."}
    for name, content in seen.items():
        assert content in (old.get(name), new.get(name)), f"{name} is half-written {when}"
    if "dataset.json" in seen:
        assert seen in (old, new), f"dataset.json belongs to other files {when}"
    records = {name: content for name, content in seen.items() if name.endswith(".rec")}
    assert any(all(run.get(name) == content for name, content in records.items()) for run in (old, new)), (
        f"records of two runs side by side {when}"
    )


def end_at(action: str, number: int, source: Path, out: Path) -> Done:
    """Do ``action`` at a moment of a run; no process of it is left when this returns."""
    pipe = Liveness()
    process = start(
        ["-c", MOMENTS, action, str(number), str(source), str(out), *PLANNED],
        start_new_session=True,
        pass_fds=[pipe.writer],
    )
    pipe.started()
    done = finish(process, out)
    assert pipe.all_gone(), f"a process is left after moment {number}"
    os.close(pipe.reader)
    return done


# Kill what, over an earlier output, with an image that keeps the records from being written to plan.
KILLED = [("kill all", True, True), ("kill all", True, False), ("kill all", False, True), ("kill parent", True, True)]
KILLED_TOO = [("kill all", False, False), *(("kill parent", *rest) for rest in ((True, False), (False, True)))]


@pytest.mark.parametrize(
    ("action", "with_old", "with_bad", "thorough", "part"),
    [
        *((*case, False, part) for part, case in enumerate(KILLED)),
        *(pytest.param(*case, True, part % 4, marks=pytest.mark.slow) for part, case in enumerate(KILLED + KILLED_TOO)),
    ],
)
def test_killed_at_any_moment(
    source: Path, tmp_path: Path, action: str, with_old: bool, with_bad: bool, thorough: bool, part: int
) -> None:
    if not with_bad:
        (source / "cat/bad.png").unlink()
    kinds, undisturbed = moments_of(action, source, tmp_path / "undisturbed")
    assert len(kinds) > 40
    old = old_output(source, tmp_path / "old") if with_old else {}
    # Every fourth moment keeps it to seconds; the parts differ, so that all moments are met together.
    for number in chosen(kinds, thorough=thorough, part=part, parts=4, at_least=12):
        out = tmp_path / f"out{number}"
        if with_old:
            shutil.copytree(tmp_path / "old", out)
        done = end_at(action, number, source, out)
        assert done.code == -signal.SIGKILL, (number, done)
        when = f"after moment {number} of {len(kinds)}, {kinds[number - 1]}"
        check_visible(out, old, undisturbed.files, when)
        rerun = pack_folder(source, out, *PLANNED)
        assert rerun.code == 0, rerun.err
        assert rerun.files == undisturbed.files, when
        assert sorted(path.name for path in out.rglob("*")) == sorted(undisturbed.files)


@THOROUGH
@pytest.mark.parametrize(("action", "code", "part"), [("terminate", 143, 0), ("interrupt", 130, 1)])
def test_stopped_at_any_moment(source: Path, tmp_path: Path, action: str, code: int, part: int, thorough: bool) -> None:
    kinds, undisturbed = moments_of(action, source, tmp_path / "undisturbed")
    old = old_output(source, tmp_path / "old")
    for number in chosen(kinds, thorough=thorough, part=part, parts=2, at_least=8):
        out = tmp_path / f"out{number}"
        shutil.copytree(tmp_path / "old", out)
        done = end_at(action, number, source, out)
        when = f"after moment {number} of {len(kinds)}, {kinds[number - 1]}"
        assert (done.code, done.err) == (code, ""), when
        assert [path.name for path in out.rglob(".*")] == [], when
        # What was complete is complete still.
        assert done.files in (old, undisturbed.files), when


@THOROUGH
def test_no_space_at_any_moment(source: Path, tmp_path: Path, thorough: bool) -> None:
    kinds, _ = moments_of("no space", source, tmp_path / "undisturbed")
    old = old_output(source, tmp_path / "old")
    for number in chosen(kinds, thorough=thorough, part=0, parts=1, at_least=4):
        out = tmp_path / f"out{number}"
        shutil.copytree(tmp_path / "old", out)
        done = drive(MOMENTS, ["no space", str(number)], source, out, *PLANNED)
        when = f"at moment {number} of {len(kinds)}, {kinds[number - 1]}: {done.err}"
        assert done.code == 1, when
        assert done.err.startswith(f"error: disk full while writing {out}"), when
        assert done.err.count("\n") == 1, when
        assert [path.name for path in out.rglob(".*")] == [], when
        assert done.files == old, when


@THOROUGH
def test_a_killed_worker_loses_nothing(source: Path, tmp_path: Path, thorough: bool) -> None:
    kinds, undisturbed = moments_of("kill worker", source, tmp_path / "undisturbed")
    for number in chosen(kinds, thorough=thorough, part=0, parts=2, at_least=8):
        out = tmp_path / f"out{number}"
        done = drive(MOMENTS, ["kill worker", str(number)], source, out, *PLANNED)
        assert done.code == 0, (number, done.err)
        assert done.files == undisturbed.files, number


FULL_DISK_SIZES = (4, 8, 16, 40, 80, 120)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount file systems of so many KiB; skipped where that is not allowed."""
    mounted: list[Path] = []

    def mount(kibibytes: int) -> Path:
        place = tmp_path / f"disk{kibibytes}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "imgpipe-test", str(place)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a small file system")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--format", "png"),
        ("--pass-through", "--resize", "0"),
        ("--format", "png", "--output", "image"),
    ],
)
def test_a_full_disk(
    make_folder: MakeFolder, small_disk: Callable[[int], Path], arguments: tuple[str, ...], tmp_path: Path
) -> None:
    source = make_folder(cat=40, dog=40)
    codes = set()
    for size in FULL_DISK_SIZES:
        out = small_disk(size) / "out"
        done = pack_folder(source, out, "--train", "1", *arguments)
        codes.add(done.code)
        if done.code:
            assert done.err.startswith(f"error: disk full while writing {out}"), done.err
            assert done.err.count("\n") == 1
            assert not out.exists() or not [path for path in out.rglob("*") if path.is_file()]
        else:
            check_nothing_is_lost(done, source) if "image" not in arguments else None
    assert 1 in codes


def test_a_disk_that_fills_leaves_the_earlier_output_whole_or_none(
    make_folder: MakeFolder, small_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    source = make_folder(cat=40, dog=40)
    disk = small_disk(160)
    arguments = ("--train", "1", "--format", "png")
    old = pack_folder(source, disk / "out", *arguments)
    assert old.code == 0, old.err
    before = old.files
    (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 8192))
    done = pack_folder(source, disk / "out", *arguments, "--seed", "5")
    assert (done.code, done.err.count("\n")) == (1, 1), done.err
    assert done.files in ({}, before)
    (disk / "ballast").unlink()
    again = pack_folder(source, disk / "out", *arguments)
    assert (again.code, again.files) == (0, before), again.err


@pytest.mark.parametrize("name", ["EDQUOT", "EFBIG", "EIO", "EROFS"])
def test_other_failures_of_a_disk_are_one_line_too(source: Path, tmp_path: Path, name: str) -> None:
    driver = (
        BEGIN
        + f"""
def pwritev(*arguments):
    raise OSError(errno.{name}, os.strerror(errno.{name}))
os.pwritev = pwritev
"""
        + END
    )
    done = drive(driver, [], source, tmp_path / "out", *PLANNED)
    check_leaves_nothing(done, str(tmp_path / "out"))


def test_a_limit_on_file_sizes_is_one_line(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=40, dog=40)
    driver = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))" + BEGIN + END
    done = drive(driver, [], source, tmp_path / "out", *FOLDER, "--format", "png", "--train", "1")
    check_leaves_nothing(done, str(tmp_path / "out"))


# Changes between the walk and the reading.

CHANGE = (
    BEGIN
    + """
change, path = sys.argv[1], sys.argv[2]
del sys.argv[1:3]
original = preprocess.pack.fill

def fill(*arguments, **options):
    if change == "shrink":
        os.truncate(path, os.path.getsize(path) // 2)
    elif change == "grow":
        with open(path, "ab") as file:
            file.write(bytes(100_000))
    elif change == "folder gone":
        import shutil
        shutil.rmtree(os.path.dirname(path))
    else:
        os.unlink(path)
    if change == "fifo":
        os.mkfifo(path)
    elif change == "folder":
        os.mkdir(path)
    elif change == "loop":
        os.symlink(path, path)
    elif change == "outside":
        os.symlink(os.path.join(os.path.dirname(folder.__file__), "..", "..", "outside.png"), path)
    elif change == "zero":
        os.symlink("/dev/zero", path)
    elif change == "text":
        with open(path, "wb") as file:
            file.write(b"text")
    return original(*arguments, **options)

preprocess.pack.fill = fill
"""
    + END
)


@pytest.mark.parametrize("mode", [("--pass-through", "--resize", "0"), ()])
@pytest.mark.parametrize("change", ["gone", "shrink", "fifo", "folder", "loop", "zero", "text"])
def test_a_file_that_changes_during_the_run(
    make_folder: MakeFolder, tmp_path: Path, change: str, mode: tuple[str, ...]
) -> None:
    source = make_folder(cat=6, dog=6)
    arguments = (*FOLDER, "--max-rejected", "1", *mode)
    done = drive(CHANGE, [change, str(source / "cat/003.png")], source, tmp_path / "out", *arguments)
    assert done.code == 0, done.err
    assert [path for path, _, _ in done.rejected] == ["cat/003.png"]
    assert len(done.packed) == 11
    strict_source = make_folder("strict", cat=6, dog=6)
    arguments = (*FOLDER, *mode)
    strict = drive(CHANGE, [change, str(strict_source / "cat/003.png")], strict_source, tmp_path / "none", *arguments)
    check_leaves_nothing(strict, "1 of 12 images cannot be used")
    assert "cat/003.png: " in strict.err


def test_a_file_that_grows_during_the_run_is_one_image_all_the_same(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=6, dog=6)
    arguments = (*FOLDER, "--max-rejected", "1", "--pass-through", "--resize", "0")
    done = drive(CHANGE, ["grow", str(source / "cat/003.png")], source, tmp_path / "out", *arguments)
    assert done.code == 0, done.err
    check_nothing_is_lost(done, source)


def test_a_class_folder_that_vanishes_during_the_run(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=6, dog=6)
    done = drive(CHANGE, ["folder gone", str(source / "cat/003.png")], source, tmp_path / "out", *FOLDER)
    check_leaves_nothing(done, "6 of 12 images cannot be used")


# Processes that end, and processes that wait.

ENDS = (
    BEGIN
    + """
__import__("resource").setrlimit(__import__("resource").RLIMIT_CORE, (0, 0))
how = sys.argv.pop(1)
original = preprocess.fill.convert

def convert(path, settings):
    if "/bad" in path:
        if how == "exit":
            os._exit(7)
        if how == "recursion":
            return convert(path, settings)
        if how == "memory":
            raise MemoryError
        os.kill(os.getpid(), getattr(signal, how))
    return original(path, settings)

preprocess.fill.convert = convert
"""
    + END
)


@pytest.mark.parametrize("how", ["SIGSEGV", "SIGABRT", "SIGKILL", "SIGTERM", "exit"])
def test_an_image_that_ends_the_decoder_is_rejected(make_folder: MakeFolder, tmp_path: Path, how: str) -> None:
    source = make_folder(cat=30, dog=30)
    for name in ("cat/bad.png", "dog/bad1.png", "dog/bad2.png"):
        (source / name).write_bytes(encoded(gradient(20, 20, seed=len(name))))
    done = drive(ENDS, [how], source, tmp_path / "out", *FOLDER, "--max-rejected", "1")
    assert done.code == 0, done.err
    assert [path for path, _, _ in done.rejected] == ["cat/bad.png", "dog/bad1.png", "dog/bad2.png"]
    name = "exit status 7" if how == "exit" else how
    assert all(f"ended the process with {name}" in reason for _, reason, _ in done.rejected)
    assert all(size == (source / path).stat().st_size for path, _, size in done.rejected)
    check_nothing_is_lost(done, source)
    without = drive(ENDS, [how], source, tmp_path / "none", *FOLDER)
    check_leaves_nothing(without, "3 of 63 images cannot be used")
    for name in ("cat/bad.png", "dog/bad1.png", "dog/bad2.png"):
        (source / name).unlink()
    undisturbed = pack_folder(source, tmp_path / "undisturbed")
    for split in ("train", "validation", "test"):
        assert done.files[f"{split}.rec"] == undisturbed.files[f"{split}.rec"]


@pytest.mark.parametrize("how", ["memory", "recursion"])
def test_an_image_that_takes_all_memory_is_rejected(make_folder: MakeFolder, tmp_path: Path, how: str) -> None:
    source = make_folder(cat=6, dog=6)
    (source / "cat/bad.png").write_bytes(encoded(gradient(20, 20)))
    done = drive(ENDS, [how], source, tmp_path / "out", *FOLDER, "--max-rejected", "1")
    assert done.code == 0, done.err
    assert [path for path, _, _ in done.rejected] == ["cat/bad.png"]


# Workers say that they are in the middle, and stay there until the other pipe is closed.
WAITS = (
    BEGIN
    + """
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever runs these tests may ignore it
said, hold = int(sys.argv[1]), int(sys.argv[2])
del sys.argv[1:3]
original = preprocess.fill.convert

def convert(path, settings):
    os.write(said, b"x")
    os.read(hold, 1)
    return original(path, settings)

preprocess.fill.convert = convert
"""
    + END
)


class Waiting:
    """A packer in the middle of its work, which goes on when it is released."""

    def __init__(self, source: Path, out: Path, *arguments: str) -> None:
        self.out = out
        self._said, said = os.pipe()
        hold, self._hold = os.pipe()
        self.liveness = Liveness()
        os.set_inheritable(self._hold, False)
        self.process = start(
            ["-c", WAITS, str(said), str(hold), str(source), str(out), *arguments],
            start_new_session=True,
            pass_fds=[said, hold, self.liveness.writer],
        )
        os.close(said)
        os.close(hold)
        self.liveness.started()
        assert os.read(self._said, 1) == b"x"

    def release(self) -> None:
        os.close(self._hold)
        self._hold = -1

    def end(self) -> Done:
        return finish(self.process, self.out)

    def clean_up(self) -> None:
        for pipe in (self._said, self._hold, self.liveness.reader):
            if pipe >= 0:
                os.close(pipe)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()


@pytest.fixture
def waiting(source: Path, tmp_path: Path) -> Iterator[Waiting]:
    packer = Waiting(source, tmp_path / "out", *PLANNED, "--threads", "2")
    yield packer
    packer.clean_up()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("whole_group", [False, True])
def test_a_signal_in_the_middle(waiting: Waiting, number: signal.Signals, code: int, whole_group: bool) -> None:
    if whole_group:
        os.killpg(waiting.process.pid, number)
    else:
        waiting.process.send_signal(number)
    done = waiting.end()
    assert (done.code, done.err, done.files) == (code, "", {})
    assert list(waiting.out.rglob(".*")) == []
    assert waiting.liveness.all_gone()


def test_a_terminal_that_is_closed(waiting: Waiting) -> None:
    os.killpg(waiting.process.pid, signal.SIGHUP)
    waiting.end()
    assert waiting.liveness.all_gone()


def test_two_packs_into_one_folder(waiting: Waiting, source: Path, tmp_path: Path) -> None:
    other = pack_folder(source, tmp_path / "out", *PLANNED)
    assert (other.code, other.err.count("\n")) == (1, 1)
    assert "another process is packing into" in other.err
    waiting.release()
    done = waiting.end()
    assert done.code == 0, done.err
    assert done.files == pack_folder(source, tmp_path / "alone", *PLANNED).files


def test_two_containers_with_one_output(waiting: Waiting, source: Path, tmp_path: Path) -> None:
    (tmp_path / "ml/processing/output").mkdir(parents=True)
    # The container's folder of descriptions is the one that the waiting packer writes into.
    (tmp_path / "ml/processing/output/dataset").symlink_to(tmp_path / "out")
    other = pack_container(source, tmp_path / "ml", "--max-rejected-fraction", "1")
    assert (other.code, other.err.count("\n")) == (1, 1)
    assert "another process is packing into" in other.err


def test_workers_do_not_outlive_their_parent(waiting: Waiting, source: Path, tmp_path: Path) -> None:
    waiting.process.kill()
    waiting.release()  # a worker hears of it when it has done the image that it is at
    waiting.end()
    assert waiting.liveness.all_gone()
    assert [path for path in (tmp_path / "out").rglob("*.rec") if path.name[0] != "."] == []
    rerun = pack_folder(source, tmp_path / "out", *PLANNED)
    assert rerun.code == 0, rerun.err


def test_a_rerun_right_after_a_kill_is_not_refused(waiting: Waiting, source: Path, tmp_path: Path) -> None:
    waiting.process.kill()
    waiting.end()
    rerun = pack_folder(source, tmp_path / "out", *PLANNED)
    assert rerun.code == 0, rerun.err
    assert rerun.files == pack_folder(source, tmp_path / "alone", *PLANNED).files


# Shards.

SHARD = (
    BEGIN.replace("from preprocess import folder", "from preprocess import shard as folder")
    + """
number = int(sys.argv.pop(1))
calls = [0]
original = preprocess.fill.GatheringFile.flush

def flush(self):
    calls[0] += 1
    if calls[0] == number:
        os.killpg(0, signal.SIGKILL)
    original(self)

preprocess.fill.GatheringFile.flush = flush
run(folder.main, failure_file="message")
"""
)


def test_a_shard_that_is_killed_while_it_is_packed_anew_does_not_pass_for_whole(source: Path, tmp_path: Path) -> None:
    arguments = ("--image-size", "16", "--max-rejected-fraction", "1")
    first = pack_container(source, tmp_path / "ml", *arguments, program="preprocess.shard")
    assert first.code == 0, first.err
    pool = tmp_path / "ml/processing/output/pool"
    environment = {"ML_ROOT": str(tmp_path / "ml")}
    killed = finish(
        start(["-c", SHARD, "1", *arguments, "--seed", "3"], environment=environment, start_new_session=True), pool
    )
    assert killed.code == -signal.SIGKILL
    (tmp_path / "merge/processing/input").mkdir(parents=True)
    (tmp_path / "merge/processing/input/pool").symlink_to(pool)
    out = tmp_path / "merge/processing/output"
    merged = finish(
        start(["-m", "preprocess.merge", *arguments], environment={"ML_ROOT": str(tmp_path / "merge")}), out
    )
    check_leaves_nothing(merged, "run the Pack step again")
    again = pack_container(source, tmp_path / "ml", *arguments, program="preprocess.shard")
    assert again.files == first.files


def test_a_shard_leaves_nothing_of_an_earlier_one(source: Path, tmp_path: Path) -> None:
    arguments = ("--image-size", "16", "--max-rejected-fraction", "1")
    first = pack_container(source, tmp_path / "ml", *arguments, program="preprocess.shard")
    pool = tmp_path / "ml/processing/output/pool/algo-1"
    before = first.files.keys()
    (pool / "payloads-7.bin").write_bytes(b"of a run with more workers")
    again = pack_container(source, tmp_path / "ml", *arguments, program="preprocess.shard")
    assert again.files.keys() == before


def test_a_shard_that_fails_leaves_no_payloads(source: Path, tmp_path: Path) -> None:
    data = tmp_path / "ml/processing/input/data"
    data.parent.mkdir(parents=True)
    data.symlink_to(source)
    environment = {"ML_ROOT": str(tmp_path / "ml")}
    driver = SHARD.replace("os.killpg(0, signal.SIGKILL)", "raise OSError(errno.ENOSPC, 'full', 'x')")
    done = finish(
        start(["-c", driver, "1", "--image-size", "16"], environment=environment), tmp_path / "ml/processing/output"
    )
    check_leaves_nothing(done, "disk full while writing")


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "index cut", "index gone"])
def test_a_damaged_shard_is_never_merged(source: Path, tmp_path: Path, damage: str) -> None:
    arguments = ("--image-size", "16", "--max-rejected-fraction", "1")
    first = pack_container(source, tmp_path / "ml", *arguments, program="preprocess.shard")
    assert first.code == 0, first.err
    pool = tmp_path / "ml/processing/output/pool"
    segment = max(pool.rglob("payloads-*.bin"), key=lambda path: path.stat().st_size)
    index = next(pool.rglob("index.jsonl"))
    content = segment.read_bytes()
    if damage == "cut":
        segment.write_bytes(content[:-10])
    elif damage == "changed":
        segment.write_bytes(content[:-10] + bytes(10))
    elif damage == "gone":
        segment.unlink()
    elif damage == "index cut":
        lines = index.read_bytes().splitlines(keepends=True)
        index.write_bytes(b"".join(lines[:-3]))
    else:
        index.unlink()
    (tmp_path / "merge/processing/input").mkdir(parents=True)
    (tmp_path / "merge/processing/input/pool").symlink_to(pool)
    merged = finish(
        start(["-m", "preprocess.merge", *arguments], environment={"ML_ROOT": str(tmp_path / "merge")}),
        tmp_path / "merge/processing/output",
    )
    check_leaves_nothing(merged, "")


def test_records_are_whole_after_all_that(source: Path, tmp_path: Path) -> None:
    """The bytes that the other tests compare with are records."""
    done = pack_folder(source, tmp_path / "out", *PLANNED)
    total = sum(len(list(read_records(path))) for path in done.outputs.glob("*.rec"))
    assert total == 20
    assert sys.maxsize > total
