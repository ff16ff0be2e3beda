"""Finding files: what counts as an image, what is ignored, and that no link or folder makes one vanish in silence."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from common.contract import ContainerError
from preprocess.walk import ACCEPTED_SUFFIXES, OTHER_IMAGE_SUFFIXES, Found, walk

MakeFolder = Callable[..., Path]


def reasons(found: Found) -> dict[str, str]:
    return {rejection.path: rejection.reason for rejection in found.rejections}


def test_images_at_any_depth_and_in_any_case(make_folder: MakeFolder) -> None:
    root = make_folder(a=1, b=1)
    (root / "a/more/still").mkdir(parents=True)
    for name in ("x.JPG", "y.jpeg", "z.Png", "more/w.jpg", "more/still/v.TIFF"):
        (root / "a" / name).write_bytes(b"x")
    assert sorted(walk(root).images) == [
        "a/000.png",
        "a/more/still/v.TIFF",
        "a/more/w.jpg",
        "a/x.JPG",
        "a/y.jpeg",
        "a/z.Png",
        "b/000.png",
    ]


def test_every_format_of_the_issue_is_tried_and_every_other_image_is_reported(tmp_path: Path) -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"} <= ACCEPTED_SUFFIXES
    for suffix in ACCEPTED_SUFFIXES | OTHER_IMAGE_SUFFIXES:
        (tmp_path / f"x{suffix}").write_bytes(b"12")
    found = walk(tmp_path)
    assert sorted(found.images) == sorted(f"x{suffix}" for suffix in ACCEPTED_SUFFIXES)
    assert sorted(reasons(found)) == sorted(f"x{suffix}" for suffix in OTHER_IMAGE_SUFFIXES)
    assert reasons(found)["x.heic"] == ".heic is not supported: convert it to jpg or png"
    assert {rejection.size for rejection in found.rejections} == {2}


def test_other_files_and_hidden_names_are_ignored_and_named(make_folder: MakeFolder) -> None:
    root = make_folder(b=1)
    (root / ".git").mkdir()
    for name in (".git/x.png", "b/.hidden.png", "b/notes.txt", "README.md", "labels.json", "b/no_suffix"):
        (root / name).write_bytes(b"x")
    found = walk(root)
    assert found.images == ["b/000.png"]
    assert sorted(found.ignored) == [".git", "README.md", "b/.hidden.png", "b/no_suffix", "b/notes.txt", "labels.json"]


def test_lists_count_in_the_folder_itself_only(make_folder: MakeFolder) -> None:
    root = make_folder(b=1)
    for name in ("train.lst", "Test.LST", "b/inner.lst"):
        (root / name).write_text("")
    found = walk(root)
    assert sorted(found.lists) == ["Test.LST", "train.lst"]
    assert found.ignored == ["b/inner.lst"]


def test_names_that_are_no_text_survive(tmp_path: Path) -> None:
    names = ["a b.png", "tab\there.png", "new\nline.png", "\U0001f600.png", "%09.png", os.fsdecode(b"\xff\xfe.png")]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert sorted(walk(tmp_path).images) == sorted(names)


def test_a_link_to_a_file_within_the_folder_is_an_image(make_folder: MakeFolder) -> None:
    root = make_folder(a=1)
    (root / "a/link.png").symlink_to("000.png")
    assert sorted(walk(root).images) == ["a/000.png", "a/link.png"]
    elsewhere = root.parent / "other_way_in"
    elsewhere.symlink_to(root)
    assert sorted(walk(elsewhere).images) == ["a/000.png", "a/link.png"]


def test_links_that_lead_nowhere_good_are_reported(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder(a=1)
    outside = tmp_path / "data_of_another"  # its path begins with the folder's own
    outside.mkdir()
    (outside / "secret.png").write_bytes(b"12345")
    (root / "a/out.png").symlink_to(outside / "secret.png")
    (root / "a/out_folder").symlink_to(outside)
    (root / "a/gone.png").symlink_to("nowhere")
    (root / "a/me.png").symlink_to("me.png")
    (root / "a/loop").symlink_to(root)
    found = walk(root)
    assert found.images == ["a/000.png"]
    told = reasons(found)
    assert sorted(told) == ["a/gone.png", "a/loop", "a/me.png", "a/out.png", "a/out_folder"]
    assert told["a/gone.png"] == "broken link: No such file or directory"
    assert told["a/me.png"].startswith("broken link: Too many levels")
    assert "out of the data folder" in told["a/out.png"]
    assert "out of the data folder" in told["a/out_folder"]
    assert "link to a folder" in told["a/loop"]


def test_links_that_are_no_images_by_their_names_are_ignored_like_files(make_folder: MakeFolder) -> None:
    root = make_folder(a=1)
    (root / "README.md").symlink_to("/etc/hostname")
    (root / "notes.txt").symlink_to("nowhere")
    found = walk(root)
    assert reasons(found) == {}
    assert sorted(found.ignored) == ["README.md", "notes.txt"]


def test_what_is_no_plain_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.jpg"))
        (tmp_path / "link.png").symlink_to("pipe.png")
        found = walk(tmp_path)
    assert reasons(found) == dict.fromkeys(["pipe.png", "socket.jpg", "link.png"], "no plain file")


def test_a_folder_that_is_missing_or_a_file(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match="nowhere does not exist: give a folder that holds one folder of images"):
        walk(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ContainerError):
        walk(tmp_path / "file")


def test_a_folder_that_cannot_be_read_does_not_pass_for_an_empty_one(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(a=1, b=1)
    scandir = os.scandir

    def refuse(folder: str) -> object:
        if folder.endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(
        ContainerError, match="data/b cannot be read: Permission denied; make it readable, or remove it"
    ):
        walk(root)
