"""Runs the packing programs as processes and accounts for every file, for the tests of hostile input and of kills."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.lists import read_list
from common.recordio import read_records

SPLITS = ("train", "validation", "test")
# What a test may take at most before it counts as hanging.
PATIENCE_SECONDS = 60
CONTAINER = ("--image-size", "16", "--resize", "16")
FOLDER = ("--resize", "16", "--threads", "2")


@dataclass(frozen=True, kw_only=True)
class Done:
    """A finished program: exit code, what it printed, and the folder of its outputs."""

    code: int
    out: str
    err: str
    outputs: Path

    @property
    def files(self) -> dict[str, bytes]:
        """All outputs by file name, hidden ones included; the layouts differ in folders only."""
        return {path.name: path.read_bytes() for path in self.outputs.rglob("*") if path.is_file()}

    @property
    def dataset(self) -> dict[str, Any]:
        return json.loads(self.files["dataset.json"])

    @property
    def rejected(self) -> list[tuple[str, str, int]]:
        """Path, reason and bytes of every row of rejected.csv."""
        with io.StringIO(self.files["rejected.csv"].decode(), newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0] == ["path", "reason", "bytes"]
        assert all(len(row) == 3 and row[0] and row[1] for row in rows), rows
        return [(path, reason, int(size)) for path, reason, size in rows[1:]]

    @property
    def packed(self) -> list[str]:
        """Paths of all packed images, after a look at the records: ids, number, labels and payloads."""
        paths: list[str] = []
        for split in SPLITS:
            lists = list(self.outputs.rglob(f"{split}.lst"))
            if not lists:
                assert not list(self.outputs.rglob(f"{split}.rec"))
                continue
            listed = read_list(lists[0])
            records = list(read_records(next(self.outputs.rglob(f"{split}.rec"))))
            assert [record.header.id for record in records] == list(listed) == list(range(len(records)))
            assert all(record.payload.startswith((b"\xff\xd8", b"\x89PNG")) for record in records)
            paths += listed.values()
        assert len(paths) == len(set(paths))
        return sorted(paths)


def start(command: list[str], *, environment: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
    """Start a program with text pipes and this project's modules."""
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        env={**os.environ, **(environment or {})},
        **options,
    )


def finish(process: subprocess.Popen[str], outputs: Path) -> Done:
    """Wait for a started program; one that hangs is killed and fails the test."""
    try:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        # Not `communicate`: what it has started may hold its output open.
        raise AssertionError(f"{process.args} hangs") from None
    return Done(code=process.returncode, out=out, err=err, outputs=outputs)


def pack_folder(source: Path, out: Path, *arguments: str, **options: Any) -> Done:
    """Run what `imgpipe pack` runs."""
    return finish(start(["-m", "preprocess.folder", str(source), str(out), *FOLDER, *arguments], **options), out)


def pack_container(source: Path, root: Path, *arguments: str, program: str = "preprocess", **options: Any) -> Done:
    """Run a packing container on ``source`` with the contract's folders below ``root``."""
    data = root / "processing" / "input" / "data"
    if not data.is_symlink():
        data.parent.mkdir(parents=True)
        data.symlink_to(source)
    process = start(["-m", program, *CONTAINER, *arguments], environment={"ML_ROOT": str(root)}, **options)
    return finish(process, root / "processing" / "output")


def pack_scaled_out(source: Path, root: Path, *arguments: str, instances: int = 3) -> Done:
    """Deal the files of ``source`` out to several instances, pack each share, and merge the pools."""
    hosts = [f"algo-{number}" for number in range(1, instances + 1)]
    paths = sorted(path.relative_to(source) for path in source.rglob("*") if not path.is_dir())
    pool = root / "merge" / "processing" / "input" / "pool"
    pool.mkdir(parents=True)
    for number, host in enumerate(hosts):
        share = root / f"share-{host}"
        share.mkdir()
        for path in paths[number::instances]:
            (share / path).parent.mkdir(parents=True, exist_ok=True)
            (share / path).hardlink_to(source / path)
        (root / host / "config").mkdir(parents=True)
        config = json.dumps({"current_host": host, "hosts": hosts})
        (root / host / "config" / "resourceconfig.json").write_text(config)
        done = pack_container(share, root / host, *arguments, program="preprocess.shard")
        assert done.code == 0, done.err
        (pool / host).symlink_to(root / host / "processing" / "output" / "pool" / host)
    merged = start(["-m", "preprocess.merge", *CONTAINER, *arguments], environment={"ML_ROOT": str(root / "merge")})
    return finish(merged, root / "merge" / "processing" / "output")


def shown(path: str) -> str:
    """Return a path as rejected.csv shows it: what is no UTF-8 with escapes."""
    return path.encode(errors="backslashreplace").decode()


def files_below(folder: Path) -> tuple[set[str], int]:
    """Return every visible name below ``folder`` that is no folder, links and devices included, and how many hidden."""
    names: set[str] = set()
    hidden = 0
    for parent, folders, files in os.walk(folder):
        hidden += sum(name.startswith(".") for name in (*folders, *files))
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in (*folders, *files):
            path = Path(parent, name)
            if not name.startswith(".") and not stat.S_ISDIR(path.lstat().st_mode):
                names.add(str(path.relative_to(folder)))
    return names, hidden


def check_nothing_is_lost(done: Done, source: Path) -> None:
    """Check that packed, rejected and ignored files, and the lists read, are all files of ``source``, each once."""
    names, hidden = files_below(source)
    rejected = [path for path, _, _ in done.rejected]
    dataset = done.dataset
    assert len(rejected) == len(set(rejected)) == dataset["rejected"]
    packed = done.packed
    assert len(packed) == sum(dataset["counts"].values())
    accounted = {*map(shown, packed), *rejected}
    assert len(accounted) == len(packed) + len(rejected)
    assert accounted <= set(map(shown, names))
    lists = sum(path.is_file() for path in source.glob("[!.]*.lst"))
    assert len(accounted) + dataset["ignored"] + lists == len(names) + hidden


def check_leaves_nothing(done: Done, reason: str, *, code: int = 1) -> None:
    """Check that a program failed with one line that holds ``reason``, and left no file at all."""
    assert done.code == code, done.err
    assert reason in done.err
    assert done.err.count("\n") == 1, done.err
    assert done.files == {}
    assert list(done.outputs.rglob(".*")) == []
