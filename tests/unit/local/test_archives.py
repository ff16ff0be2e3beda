"""A model.tar.gz unpacked with checked paths, without tarfile's filters, which not every supported Python has."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from local.archives import unpack_model_archive
from local.errors import LocalRunError

NAME = "s3://models/model.tar.gz"


def member(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 3) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = size if kind == tarfile.REGTYPE else 0
    return info


def archive_of(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return path


@pytest.fixture(params=["as it is", "without filters"])
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """This Python, and one whose tarfile is that of 3.10.0 and 3.11.2."""
    if request.param == "without filters":
        extractall = tarfile.TarFile.extractall

        def old(self: tarfile.TarFile, path: str = ".", members: object = None, *, numeric_owner: bool = False) -> None:
            extractall(self, path, members, numeric_owner=numeric_owner)  # type: ignore[arg-type]

        monkeypatch.setattr(tarfile.TarFile, "extractall", old)
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


@pytest.mark.usefixtures("python")
def test_files_and_folders_come_out(tmp_path: Path) -> None:
    folders = member(".", kind=tarfile.DIRTYPE), member("./code", kind=tarfile.DIRTYPE)
    path = archive_of(
        tmp_path / "x.tar.gz", *folders, member("./code/a.py"), member("deep/er/b.bin"), member("empty", size=0)
    )
    out = tmp_path / "out"
    out.mkdir()
    unpack_model_archive(path, out, name=NAME)
    found = {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert found == {"code/a.py": b"xxx", "deep/er/b.bin": b"xxx", "empty": b""}


@pytest.mark.usefixtures("python")
@pytest.mark.parametrize(
    "hostile",
    [
        member("../evil"),
        member("/etc/evil"),
        member("a/../../evil"),
        member("..\\evil"),
        member("../evil", kind=tarfile.DIRTYPE),
        member("link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("hard", kind=tarfile.LNKTYPE, link="a"),
        member("pipe", kind=tarfile.FIFOTYPE),
        member("device", kind=tarfile.CHRTYPE),
    ],
    ids=lambda info: info.name,
)
def test_hostile_members_are_refused(tmp_path: Path, hostile: tarfile.TarInfo) -> None:
    path = archive_of(tmp_path / "model.tar.gz", hostile)
    target = tmp_path / "out" / "deep"
    target.mkdir(parents=True)
    with pytest.raises(LocalRunError, match=r"^s3://models/model\.tar\.gz: member .*; refused$"):
        unpack_model_archive(path, target, name=NAME)
    assert sorted(tmp_path.rglob("*")) == [path, tmp_path / "out", target]


def test_what_is_no_archive_is_told_in_one_line(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "x.tar.gz", member("a", size=100_000))
    whole = path.read_bytes()
    for content in (b"", b"text", b"\x1f"):
        path.write_bytes(content)
        with pytest.raises(
            LocalRunError, match=r"^s3://models/model\.tar\.gz is no gzip archive: give a model\.tar\.gz$"
        ):
            unpack_model_archive(path, tmp_path, name=NAME)
    damaged = (
        whole[:40],
        whole[: len(whole) // 2],
        whole[:60] + b"\0\0\0\0" + whole[64:],
        gzip.compress(b"no tar" * 200),
    )
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(
            LocalRunError, match=r"^s3://models/model\.tar\.gz is not a whole gzip-compressed tar archive: .*$"
        ):
            unpack_model_archive(path, tmp_path, name=NAME)
