"""Files in and out of the emulated S3: prefixes, round trips, and what other clients see."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from local.emulator.account import EmulatedAccount
from local.errors import LocalRunError
from local.storage import all_files, download, read_text, split_uri, upload


@pytest.fixture
def bucket(account: EmulatedAccount) -> str:
    account.client("s3").create_bucket(Bucket="things")
    return "things"


def write(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"content of {name}")
    return directory


def names(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("uri", ["s3://things/a/b", "s3://things/a/b/", "s3://things"])
def test_round_trip(account: EmulatedAccount, bucket: str, tmp_path: Path, uri: str) -> None:
    source = write(tmp_path / "in", "cats/1.jpg", "dogs/x y+z.jpg", ".hidden", "top", "ü/ß.png")
    assert upload(account.objects, source, uri) == 5
    assert download(account.objects, uri, tmp_path / "out") == 5
    assert names(tmp_path / "out") == names(source)
    assert all((tmp_path / "out" / name).read_bytes() == (source / name).read_bytes() for name in names(source))


def test_clients_see_the_objects_as_any_other(account: EmulatedAccount, bucket: str, tmp_path: Path) -> None:
    upload(account.objects, write(tmp_path / "in", "cats/1.jpg"), "s3://things/a")
    s3 = account.client("s3")
    content = b"content of cats/1.jpg"
    [item] = s3.list_objects_v2(Bucket=bucket, Prefix="a/")["Contents"]
    assert (item["Key"], item["Size"]) == ("a/cats/1.jpg", len(content))
    assert item["ETag"].strip('"') == hashlib.md5(content, usedforsecurity=False).hexdigest()
    answer = s3.get_object(Bucket=bucket, Key="a/cats/1.jpg")
    assert (answer["Body"].read(), answer["ContentLength"]) == (content, len(content))
    assert s3.get_object(Bucket=bucket, Key="a/cats/1.jpg", Range="bytes=0-6")["Body"].read() == b"content"
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a/cats/1.jpg"})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == content


def test_a_versioned_bucket_keeps_versions(account: EmulatedAccount, bucket: str, tmp_path: Path) -> None:
    s3 = account.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for text in ("one", "two"):
        (tmp_path / text).write_text(text)
        account.objects.put(bucket, "key", tmp_path / text)
    assert read_text(s3, "s3://things/key") == "two"
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 2
    s3.delete_object(Bucket=bucket, Key="key")
    assert list(account.objects.keys(bucket, "")) == []


def test_objects_of_clients_can_be_brought_down(account: EmulatedAccount, bucket: str, tmp_path: Path) -> None:
    account.client("s3").put_object(Bucket=bucket, Key="model/model.tar.gz", Body=b"tar")
    assert download(account.objects, "s3://things/model/model.tar.gz", tmp_path) == 1
    assert (tmp_path / "model.tar.gz").read_bytes() == b"tar"


def test_a_prefix_is_text_and_folder_markers_are_no_files(
    account: EmulatedAccount, bucket: str, tmp_path: Path
) -> None:
    s3 = account.client("s3")
    for key in ("cats/1", "cats/", "cats-old/2", "dogs/3"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    assert download(account.objects, "s3://things/cats/", tmp_path / "slash") == 1
    assert names(tmp_path / "slash") == ["1"]
    assert download(account.objects, "s3://things/cats", tmp_path / "text") == 2


def test_an_empty_prefix_is_an_error(account: EmulatedAccount, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(LocalRunError, match="s3://things/none holds no object: a job's input must not be empty"):
        download(account.objects, "s3://things/none", tmp_path)


@pytest.mark.parametrize("shares", [1, 2, 3, 5, 7])
def test_shares_are_all_objects_dealt_out_evenly(
    account: EmulatedAccount, bucket: str, tmp_path: Path, shares: int
) -> None:
    s3 = account.client("s3")
    for key in ("in/b/2", "in/a/1", "in/", "in/a/3", "in/c", "in/a/2"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    counts = [
        download(account.objects, "s3://things/in/", tmp_path / str(number), share=(number, shares))
        for number in range(shares)
    ]
    assert max(counts) - min(counts) <= 1
    dealt = [name for number in range(shares) for name in names(tmp_path / str(number))]
    assert sorted(dealt) == ["a/1", "a/2", "a/3", "b/2", "c"]
    assert all((tmp_path / str(number)).is_dir() for number in range(shares))


def test_no_share_of_an_empty_prefix(account: EmulatedAccount, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(LocalRunError, match="s3://things/none holds no object"):
        download(account.objects, "s3://things/none", tmp_path, share=(1, 2))


def test_an_unknown_bucket_is_named(account: EmulatedAccount, tmp_path: Path) -> None:
    with pytest.raises(LocalRunError, match="bucket nowhere does not exist"):
        upload(account.objects, write(tmp_path, "a"), "s3://nowhere/x")
    with pytest.raises(LocalRunError, match="bucket nowhere does not exist"):
        download(account.objects, "s3://nowhere/x", tmp_path)


def test_no_key_leads_out_of_the_directory(account: EmulatedAccount, bucket: str, tmp_path: Path) -> None:
    account.client("s3").put_object(Bucket=bucket, Key="in/../../evil", Body=b"")
    with pytest.raises(LocalRunError, match=r"in/\.\./\.\./evil leads out"):
        download(account.objects, "s3://things/in/", tmp_path / "a" / "b")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("uri", ["things/x", "http://things/x", "s3://", "s3:///x", ""])
def test_what_is_no_s3_uri(uri: str) -> None:
    with pytest.raises(LocalRunError, match="must look like s3://bucket/prefix"):
        split_uri(uri)


def test_texts(account: EmulatedAccount, bucket: str) -> None:
    s3 = account.client("s3")
    s3.put_object(Bucket=bucket, Key="t", Body="ü".encode())
    s3.put_object(Bucket=bucket, Key="b", Body=b"\xff\xfe")
    assert read_text(s3, "s3://things/t") == "ü"
    with pytest.raises(LocalRunError, match="s3://things/b is not UTF-8 text"):
        read_text(s3, "s3://things/b")
    with pytest.raises(LocalRunError, match="s3://things/none does not exist"):
        read_text(s3, "s3://things/none")


def test_hidden_files_are_left_out_where_asked(tmp_path: Path) -> None:
    write(tmp_path, "cats/1", "cats/.DS_Store", ".git/config", ".cache/deep/x", "Thumbs")
    assert [path.relative_to(tmp_path).as_posix() for path in all_files(tmp_path, hidden=False)] == ["Thumbs", "cats/1"]
    assert len(list(all_files(tmp_path))) == 5


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", "1.jpg")
    data = write(tmp_path / "data", "dogs/2.jpg")
    (data / "cats").symlink_to(outside)
    (data / "dogs" / "loop").symlink_to(data)
    (data / "dogs" / "broken.jpg").symlink_to(tmp_path / "nothing")
    assert [path.relative_to(data).as_posix() for path in all_files(data)] == ["cats/1.jpg", "dogs/2.jpg"]
