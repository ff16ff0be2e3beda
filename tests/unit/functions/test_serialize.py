"""Serialize: which image is meant, whether it is one, and what of it is sent."""

from __future__ import annotations

import io
import json
import struct
import zlib

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from handler_tools import ARTIFACTS, CONTEXT, DATA, ENDPOINT, ENVIRONMENT, encoded, opened, photo
from moto import mock_aws
from PIL import Image

from functions.serialize import handler as serialize
from functions.serialize.image import FORMATS, InvalidImage, serialise
from functions.serialize.request import InvalidRequest, read_request

SHORT_SIDE = 64
KEY = "batch/main/cat.jpg"


@pytest.fixture
def s3(monkeypatch):
    """An S3 client of an account with a versioned data bucket and a live model that reads 64 pixels."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    clients = serialize._s3
    with mock_aws():
        clients.cache_clear()
        client = boto3.client("s3")
        for bucket in (DATA, ARTIFACTS):
            client.create_bucket(Bucket=bucket)
        client.put_bucket_versioning(Bucket=DATA, VersioningConfiguration={"Status": "Enabled"})
        live = {"schema_version": 1, "metadata": {"resize": str(SHORT_SIDE)}}
        client.put_object(Bucket=ARTIFACTS, Key=f"serving/{ENDPOINT}/live.json", Body=json.dumps(live))
        yield client
    clients.cache_clear()


def _put(s3, body: bytes, key: str = KEY) -> str:
    return s3.put_object(Bucket=DATA, Key=key, Body=body)["VersionId"]


def _call(**changes: str) -> dict:
    return serialize.handler({"s3_bucket": DATA, "s3_key": KEY} | changes, CONTEXT)


def _payload(s3, answer: dict) -> bytes:
    place = answer["payload"]
    return s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()


def test_a_large_image_is_shrunk_to_what_the_live_model_reads(s3):
    version = _put(s3, encoded(photo(1200, 800), quality=95))
    answer = _call()
    assert answer["image"]["version"] == version
    assert answer["payload"]["content_type"] == "image/jpeg"
    assert opened(_payload(s3, answer)).size == (96, SHORT_SIDE)
    assert s3.head_object(Bucket=ARTIFACTS, Key=answer["payload"]["key"])["ContentType"] == "image/jpeg"


def test_the_state_holds_a_reference_and_no_image(s3):
    """256 KiB are the most that a state may hold, and base64 of a photo is more."""
    _put(s3, encoded(photo(3000, 2000), "PNG"))
    assert len(json.dumps(_call())) < 2048


@pytest.mark.parametrize("metadata", [None, {}, {"resize": "none"}, {"resize": "0"}])
def test_without_a_live_models_word_images_stay_large(s3, metadata):
    key = f"serving/{ENDPOINT}/live.json"
    if metadata is None:
        s3.delete_object(Bucket=ARTIFACTS, Key=key)
    else:
        s3.put_object(Bucket=ARTIFACTS, Key=key, Body=json.dumps({"metadata": metadata}))
    _put(s3, encoded(photo(1600, 1200)))
    assert min(opened(_payload(s3, _call())).size) == serialize.DEFAULT_SHORT_SIDE


def _event(key: str, version: str | None) -> dict:
    stored = {"key": key, "size": 5} | ({"version-id": version} if version else {})
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {"name": DATA}, "object": stored}}


def _notification(key: str, version: str | None = None) -> dict:
    stored = {"key": key} | ({"versionId": version} if version else {})
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": DATA}, "object": stored}}]}


def test_each_form_of_the_input_means_the_same_image(s3):
    key = "batch/a b+ü%.jpg"
    version = _put(s3, encoded(photo()), key)
    written = "batch/a+b%2B%C3%BC%25.jpg"
    forms = [
        {"s3_bucket": DATA, "s3_key": key},
        {"s3_bucket": DATA, "s3_key": key, "s3_version_id": version},
        _event(key, version),
        _event(key, None),
        _notification(written, version),
        _notification(written),
    ]
    answers = [serialize.handler(form, CONTEXT) for form in forms]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["image"]["key"] == key


def test_versions_are_told_apart(s3):
    first, second = (_put(s3, encoded(photo(seed=seed))) for seed in (1, 2))
    assert _call()["id"] == _call(s3_version_id=second)["id"] != _call(s3_version_id=first)["id"]
    assert _payload(s3, _call(s3_version_id=first)) != _payload(s3, _call(s3_version_id=second))


def test_a_bucket_without_versions_goes_by_etag(s3):
    s3.create_bucket(Bucket="plain-data")
    ids = []
    for seed in (1, 2, 1):
        s3.put_object(Bucket="plain-data", Key=KEY, Body=encoded(photo(seed=seed)))
        ids.append(_call(s3_bucket="plain-data")["id"])
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({}, "s3_bucket: Field required; s3_key: Field required"),
        ({"s3_bucket": DATA}, "s3_key: Field required"),
        ({"s3_bucket": DATA, "s3_key": ""}, "s3_key"),
        ({"s3_bucket": "UPPER", "s3_key": "a"}, "s3_bucket"),
        ({"s3_bucket": DATA, "s3_key": "a", "s3_version": "1"}, "s3_version: Extra inputs"),
        ({"Records": []}, "Records"),
        ({"Records": [1, 2]}, "Records"),
        ({"detail": {"bucket": {"name": DATA}}}, "detail.object: Field required"),
        ("text", "an object of JSON"),
        (None, "an object of JSON"),
    ],
)
def test_a_malformed_input_is_one_line_that_names_the_field(event, named):
    with pytest.raises(InvalidRequest) as caught:
        read_request(event)
    assert named in str(caught.value)
    assert "s3_version_id" in str(caught.value), "the way out"
    assert "\n" not in str(caught.value)


def _bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A PNG whose header promises 900 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def _webp_bomb() -> bytes:
    """A WebP whose header promises more pixels than Pillow should take the memory for."""
    side = (16_000 - 1).to_bytes(3, "little")
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + side + side
    return b"RIFF" + struct.pack("<I", len(body)) + body


WHOLE = encoded(photo(200, 160), quality=90)
REFUSED = {
    "empty": (b"", "the file is empty"),
    "text": (b"not an image at all", "no image"),
    "html": (b"<html></html>" * 100, "no image"),
    "pdf": (b"%PDF-1.4" + bytes(100), "no image"),
    "truncated": (WHOLE[: len(WHOLE) // 2], "truncated"),
    "header only": (WHOLE[:30], "no image, or a damaged one"),
    "bomb": (_bomb(), "pixels"),
    "webp bomb": (_webp_bomb(), "pixels"),
    "float": (encoded(Image.new("F", (100, 80)), "TIFF"), "32-bit samples"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_usable_image_is_refused_in_one_line(s3, name):
    body, reason = REFUSED[name]
    _put(s3, body)
    with pytest.raises(InvalidImage) as caught:
        _call()
    assert reason in str(caught.value)
    assert f"s3://{DATA}/{KEY}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Contents" not in s3.list_objects_v2(Bucket=ARTIFACTS, Prefix="classify/"), "nothing is left behind"


def test_a_file_larger_than_the_limit_is_not_even_read(s3, monkeypatch):
    monkeypatch.setattr(serialize, "MAX_OBJECT_BYTES", 1000)
    _put(s3, bytes(1001))
    with pytest.raises(InvalidImage, match="1001 bytes are more than the limit of 1000"):
        _call()


def test_a_missing_image_is_named(s3):
    with pytest.raises(InvalidRequest, match=rf"s3://{DATA}/nowhere.jpg does not exist \(NoSuchKey\)"):
        _call(s3_key="nowhere.jpg")
    with pytest.raises(InvalidRequest, match="NoSuchBucket"):
        _call(s3_bucket="not-there")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ClientError({"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "GetObject"), True),
        (
            ClientError({"Error": {"Code": "InternalError"}, "ResponseMetadata": {"HTTPStatusCode": 500}}, "GetObject"),
            True,
        ),
        (EndpointConnectionError(endpoint_url="s3"), True),
        (
            ClientError({"Error": {"Code": "KMS.Disabled"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "GetObject"),
            False,
        ),
    ],
)
def test_only_what_passes_is_worth_another_try(s3, monkeypatch, error, raised):
    class Client:
        def get_object(self, **_place):
            raise error

    monkeypatch.setattr(serialize, "_s3", Client)
    with pytest.raises(serialize.StorageUnavailable if raised else ClientError):
        _call()


def test_what_may_not_be_read_is_final(s3, monkeypatch):
    class Client:
        def get_object(self, **_place):
            raise ClientError(
                {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "GetObject"
            )

    monkeypatch.setattr(serialize, "_s3", Client)
    with pytest.raises(InvalidRequest, match="does not exist or may not be read"):
        _call()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_small_image_of_every_format_goes_as_it_is(kind):
    data = encoded(photo(80, 60), kind)
    payload = serialise(data, short_side=SHORT_SIDE, max_bytes=10**6)
    assert payload.body == data
    assert payload.content_type == {"JPEG": "image/jpeg", "PNG": "image/png"}.get(kind, "application/x-image")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_large_image_of_every_format_becomes_a_jpeg(kind):
    image = photo(600, 400)
    payload = serialise(encoded(image, kind), short_side=SHORT_SIDE, max_bytes=10**6)
    sent = opened(payload.body)
    assert (payload.content_type, sent.format, sent.size) == ("image/jpeg", "JPEG", (96, SHORT_SIDE))
    wanted = np.asarray(image.resize(sent.size, Image.Resampling.LANCZOS), dtype=float)
    # GIF has 256 colours.
    assert np.abs(np.asarray(sent.convert("RGB"), dtype=float) - wanted).mean() < (12 if kind == "GIF" else 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_upright(orientation):
    image = photo(600, 400)
    stored = image
    if undo := {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation):
        stored = image.transpose(Image.Transpose(undo))
    elif orientation == 2:
        stored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    exif = Image.Exif()
    exif[0x0112] = orientation
    payload = serialise(encoded(stored, quality=95, exif=exif), short_side=SHORT_SIDE, max_bytes=10**6)
    sent = opened(payload.body)
    assert sent.size == (96, SHORT_SIDE)
    assert 0x0112 not in sent.getexif(), "what is upright is not turned again"
    wanted = np.asarray(image.resize(sent.size, Image.Resampling.LANCZOS), dtype=float)
    assert np.abs(np.asarray(sent, dtype=float) - wanted).mean() < 4


def test_transparency_is_on_white_and_16_bits_keep_their_high_byte():
    clear = Image.new("RGBA", (200, 100), (10, 20, 30, 0))
    sent = opened(serialise(encoded(clear, "PNG"), short_side=SHORT_SIDE, max_bytes=10**6).body)
    assert np.asarray(sent).min() > 250
    deep = Image.fromarray(np.full((100, 200), 0x80FF, dtype=np.uint16))
    sent = opened(serialise(encoded(deep, "PNG"), short_side=SHORT_SIDE, max_bytes=10**6).body)
    assert abs(int(np.asarray(sent).mean()) - 0x80) <= 1


def test_a_profile_goes_along():
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    sent = opened(serialise(encoded(photo(600, 400), icc_profile=profile), short_side=64, max_bytes=10**6).body)
    assert sent.info["icc_profile"] == profile


@pytest.mark.parametrize("size", [(20_000, 100), (100, 20_000), (3000, 100)])
def test_of_a_panorama_the_middle_is_sent(size):
    image = Image.new("RGB", size, (255, 0, 0))
    width, height = size
    image.paste((0, 0, 255), (width // 2 - 50, height // 2 - 50, width // 2 + 50, height // 2 + 50))
    sent = opened(serialise(encoded(image), short_side=SHORT_SIDE, max_bytes=10**6).body)
    assert sorted(sent.size) == pytest.approx([SHORT_SIDE, 4 * SHORT_SIDE], abs=1)
    red, _, blue = sent.getpixel((sent.width // 2, sent.height // 2))
    assert (blue > 200, red < 60) == (True, True)


@pytest.mark.parametrize("limit", [200_000, 20_000, 2_000])
def test_it_always_fits_the_payload_limit(limit):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8))
    payload = serialise(encoded(noise, quality=100, subsampling=0), short_side=1024, max_bytes=limit)
    assert limit / 4 < len(payload.body) <= limit
    assert opened(payload.body).format == "JPEG"


def test_a_profile_larger_than_the_limit_stays_behind():
    data = encoded(photo(600, 400), icc_profile=bytes(60_000))
    payload = serialise(data, short_side=SHORT_SIDE, max_bytes=50_000)
    assert "icc_profile" not in opened(payload.body).info


def test_what_is_sent_shows_the_model_what_the_packer_would():
    """The endpoint scales with the packer's own code: it sees nearly the same of payload and file."""
    from preprocess.decode import read_image  # the packer's; here only, for it is slow to import

    whole = photo(1600, 1066)
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encoded(whole, kind)
        payload = serialise(data, short_side=SHORT_SIDE, max_bytes=10**6)
        seen = [read_image(body, short_side=SHORT_SIDE, crop="square").astype(float) for body in (data, payload.body)]
        assert seen[0].shape == seen[1].shape
        assert np.abs(seen[0] - seen[1]).mean() < 4


def test_metrics_are_in_the_projects_namespace(s3, capsys):
    _put(s3, encoded(photo()))
    _call()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [metric] = [line for line in lines if "ImagesSerialized" in line]
    assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "imgpipe"


def test_a_refused_image_is_counted(s3, capsys):
    _put(s3, b"no image")
    with pytest.raises(InvalidImage):
        _call()
    assert '"ImagesRefused":[1.0]' in capsys.readouterr().out.replace(" ", "")


def test_the_body_is_read_once_from_the_buffer_that_came():
    """The payload is decoded as a proof, and is still the very file."""
    data = encoded(photo(60, 60), "PNG")
    assert (
        Image.open(io.BytesIO(serialise(data, short_side=64, max_bytes=10**6).body)).tobytes()
        == photo(60, 60).tobytes()
    )
