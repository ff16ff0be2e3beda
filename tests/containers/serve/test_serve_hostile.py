"""Bad requests get a reason, and the next request works."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import struct
import zlib
from collections.abc import Iterator

import pytest
from served import PATIENCE_SECONDS, Served, encoded, listed, picture

LIMIT = 65536


@pytest.fixture(autouse=True)
def _the_next_request_works(server: Served) -> Iterator[None]:
    yield
    answer = server.classify(encoded(picture("blue")))
    assert answer.content.index(max(answer.content)) == 2
    assert server.ask("GET", "/ping").status == 200


def png_bomb(width: int, height: int) -> bytes:
    """Return a PNG whose header declares a huge picture."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def jpeg_bomb() -> bytes:
    """Return a JPEG whose frame header declares 65000x65000 pixels."""
    data = encoded(picture(), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 65000, 65000) + data[at + 4 :]


JPEG, PNG, WEBP = encoded(picture(), "JPEG"), encoded(picture()), encoded(picture(), "WEBP")
WIDE = encoded(picture(width=5000, height=1), "JPEG", quality=20)

BAD_IMAGES = [
    (b"\0" * 100, 400, "not_an_image"),
    (b"<html>no image</html>", 400, "not_an_image"),
    (b"\xff\xd8", 400, "truncated"),
    (b"\x89PNG\r\n\x1a\n", 400, "not_an_image"),
    (b"GIF89a", 400, "not_an_image"),
    (JPEG[: len(JPEG) // 2], 400, "truncated"),
    (JPEG[:-2], 400, "truncated"),
    (PNG[: len(PNG) // 2], 400, "truncated"),
    (WEBP[: len(WEBP) // 2], 400, "truncated"),
    (PNG[:60] + bytes(len(PNG) - 60), 400, "damaged_image"),
    (png_bomb(60_000, 60_000), 413, "too_many_pixels"),
    (png_bomb(2**31 - 1, 2**31 - 1), 413, "too_many_pixels"),
    (png_bomb(10_000, 5_001), 413, "too_many_pixels"),
    (png_bomb(0, 5), 400, "damaged_image"),
    (jpeg_bomb(), 413, "too_many_pixels"),
    (WIDE, 413, "too_many_pixels"),
    (b"", 400, "empty"),
]
bad_images = pytest.mark.parametrize(
    ("body", "status", "code"), BAD_IMAGES, ids=[f"{code}-{number}" for number, (_, _, code) in enumerate(BAD_IMAGES)]
)


@bad_images
def test_a_bad_image(server: Served, body: bytes, status: int, code: str) -> None:
    answer = server.classify(body, "image/jpeg")
    assert (answer.status, answer.code) == (status, code), answer.body
    assert answer.headers["content-type"] == "application/json"
    assert "\n" not in answer.message


@bad_images
def test_a_bad_image_in_a_list_is_named(server: Served, body: bytes, status: int, code: str) -> None:
    good = encoded(picture())
    answer = server.classify(listed(*[good] * 9, body, good, body), "application/json")
    assert (answer.status, answer.code) == (status, code)
    assert answer.content["error"]["index"] == 9
    assert answer.message.startswith("image 9 of the list: ")


@pytest.mark.parametrize(
    ("body", "code", "part"),
    [
        (b"[", "malformed_json", "not JSON"),
        (b"\xff\xfe\0", "malformed_json", "not JSON"),
        (b"[" * 60_000, "malformed_json", "not JSON"),
        (b"9" * 60_000, "malformed_json", "not JSON"),
        (b'{"images": []}', "malformed_json", "must be a JSON list"),
        (b'"abc"', "malformed_json", "must be a JSON list"),
        (b"[]", "empty", "at least one image"),
        (b'[""]', "empty", "image 0 of the list"),
        (b"[7]", "malformed_json", "of type int"),
        (b"[[]]", "malformed_json", "of type list"),
        (b'["no base64!"]', "not_base64", "no base64"),
        (b'["AAA"]', "not_base64", "no base64"),
        ('["é"]'.encode(), "not_base64", "no base64"),
        (b'["AAAA"]', "not_an_image", "no image"),
    ],
)
def test_bad_json(server: Served, body: bytes, code: str, part: str) -> None:
    answer = server.classify(body, "application/json")
    assert (answer.status, answer.code) == (400, code)
    assert part in answer.message


@pytest.mark.parametrize("content_type", ["text/csv", "image/*", "image/webp", "application/jsonlines", "é" * 500])
def test_another_content_type(server: Served, content_type: str) -> None:
    answer = server.classify(encoded(picture()), content_type.encode("latin-1").decode("latin-1"))
    assert (answer.status, answer.code) == (415, "unsupported_content_type")
    assert "image/jpeg, image/png, application/x-image, application/json" in answer.message


def test_a_list_may_be_long_but_not_endless(server: Served) -> None:
    dot = base64.b64encode(encoded(picture(width=1, height=1), "GIF")).decode()
    assert len(json.dumps([dot] * 400)) < LIMIT
    assert len(server.classify(json.dumps([dot] * 400).encode(), "application/json").content) == 400
    answer = server.classify(json.dumps(["A"] * 1001).encode(), "application/json")
    assert (answer.status, answer.code) == (413, "too_many_images")


def test_a_body_of_the_limit_is_read(server: Served) -> None:
    assert server.classify(PNG + bytes(LIMIT - len(PNG))).status == 200
    answer = server.classify(PNG + bytes(LIMIT + 1 - len(PNG)))
    assert (answer.status, answer.code) == (413, "too_large")


def test_a_large_body_is_refused_as_declared(server: Served) -> None:
    with _connected(server) as connection:
        connection.sendall(_head("Content-Length: 99999999999"))
        assert _status(connection) == 413


@pytest.mark.parametrize("length", ["99999999999999999999999999", "-1", "abc"])
def test_a_length_that_is_none(server: Served, length: str) -> None:
    with _connected(server) as connection:
        connection.sendall(_head(f"Content-Length: {length}"))
        assert _status(connection) in (400, 413)


def test_a_chunked_body_is_refused_once_it_is_too_large(server: Served) -> None:
    with _connected(server) as connection:
        connection.sendall(_head("Transfer-Encoding: chunked"))
        piece = b"8000\r\n" + bytes(0x8000) + b"\r\n"
        connection.sendall(3 * piece)
        assert _status(connection) == 413


def test_a_chunked_body_below_the_limit_is_read(server: Served) -> None:
    image = encoded(picture("green"))
    answer = server.classify(iter([image[:50], image[50:]]))
    assert answer.content.index(max(answer.content)) == 1


def test_a_client_that_sends_all_of_a_large_body_gets_the_answer(server: Served) -> None:
    answer = server.classify(bytes(8 * 1024**2))
    assert (answer.status, answer.code) == (413, "too_large")


def test_a_client_that_asks_first_never_sends_a_large_body(server: Served) -> None:
    with _connected(server) as connection:
        connection.sendall(_head("Content-Length: 100000", "Expect: 100-continue"))
        assert _status(connection) == 413


def test_clients_that_go_away(server: Served) -> None:
    body = listed(*[encoded(picture())] * 40)
    for part in (b"", body[:100], body):
        with _connected(server) as connection:
            connection.sendall(_head(f"Content-Length: {len(body)}", kind="application/json") + part)


def test_what_is_no_http(server: Served) -> None:
    with _connected(server) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00nonsense\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_requests_follow_each_other_on_one_connection(server: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    statuses = []
    for body in (encoded(picture()), b"nonsense", b"", encoded(picture())):
        connection.request("POST", "/invocations", body, {"Content-Type": "image/png"})
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()
    assert statuses == [200, 400, 400, 200]


def _connected(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS)


def _head(*headers: str, kind: str = "image/png") -> bytes:
    lines = ["POST /invocations HTTP/1.1", "Host: here", f"Content-Type: {kind}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def _status(connection: socket.socket) -> int:
    return int(connection.recv(100).split()[1])
