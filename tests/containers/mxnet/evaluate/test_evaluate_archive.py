"""Unpacking a model archive: hostile members, damage, and nothing outside the destination."""

import io
import tarfile
from pathlib import Path

import pytest

from common import archive
from common.archive import extract_files
from common.contract import ContainerError


def archive_of(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size) if member.isfile() else None)
    return path


def member(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 3) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = size if kind == tarfile.REGTYPE else 0
    return info


def everything(name: str) -> bool:
    return True


@pytest.mark.parametrize(
    "hostile",
    [
        member("../evil"),
        member("/etc/evil"),
        member("a/../../evil"),
        member("..\\evil"),
        member("link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("hard", kind=tarfile.LNKTYPE, link="a"),
        member("pipe", kind=tarfile.FIFOTYPE),
        member("device", kind=tarfile.CHRTYPE),
    ],
    ids=lambda info: info.name,
)
def test_hostile_members_are_refused_even_when_unwanted(tmp_path: Path, hostile: tarfile.TarInfo) -> None:
    path = archive_of(tmp_path / "model.tar.gz", hostile)
    target = tmp_path / "out" / "deep"
    target.mkdir(parents=True)
    with pytest.raises(ContainerError, match="refused"):
        extract_files(path, target, wanted=lambda name: False)
    assert sorted(tmp_path.rglob("*")) == [path, tmp_path / "out", target]


def test_files_come_out_flat_and_only_the_wanted(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "x.tar.gz", member("./deep/a.txt"), member("b.bin"), member("d", kind=tarfile.DIRTYPE))
    (tmp_path / "out").mkdir()
    found = extract_files(path, tmp_path / "out", wanted=lambda name: name.endswith(".txt"))
    assert found == [tmp_path / "out/a.txt"]
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a.txt"]


def test_two_files_of_one_name(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "x.tar.gz", member("a/x"), member("b/x"))
    with pytest.raises(ContainerError, match="two files named 'x'"):
        extract_files(path, tmp_path, wanted=everything)


def test_size_and_count_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive_of(tmp_path / "x.tar.gz", *[member(f"f{number}") for number in range(5)])
    monkeypatch.setattr(archive, "MAX_MEMBERS", 4)
    with pytest.raises(ContainerError, match="more than 4 files"):
        extract_files(path, tmp_path, wanted=everything)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 10)
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 14)
    with pytest.raises(ContainerError, match="14 bytes"):
        extract_files(path, tmp_path, wanted=everything)


def test_missing_and_damaged_archives(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match="does not exist"):
        extract_files(tmp_path / "none.tar.gz", tmp_path, wanted=everything)
    path = archive_of(tmp_path / "x.tar.gz", member("a", size=100_000), member("b"))
    whole = path.read_bytes()
    for other in (b"", b"not a tar", b"\x1f"):
        path.write_bytes(other)
        with pytest.raises(ContainerError, match=r"x\.tar\.gz is no gzip archive: give a model\.tar\.gz$"):
            extract_files(path, tmp_path, wanted=everything)
    for damaged in (whole[:40], whole[: len(whole) // 2], whole[:60] + b"\0\0\0\0" + whole[64:]):
        path.write_bytes(damaged)
        (tmp_path / "out").mkdir(exist_ok=True)
        with pytest.raises(ContainerError, match="not a whole gzip-compressed tar archive"):
            extract_files(path, tmp_path / "out", wanted=everything)
        for file in (tmp_path / "out").iterdir():
            file.unlink()
