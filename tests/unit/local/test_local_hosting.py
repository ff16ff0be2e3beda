"""Fleets of a local endpoint as the hosting starts them: where they listen, and what is left of them."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local.assembly import ImageAsset
from local.emulator.account import EmulatedAccount, emulated_account
from local.emulator.hosting import FleetRequest
from local.endpoint.hosting import FLEETS, LocalHosting
from local.endpoint.record import read_record

ENDPOINT, BUCKET = "imgpipe-dev", "models"
# Listens where it is told to, everywhere without being told, as the serving container's program does.
PROGRAM = """
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        if self.rfile.read(int(self.headers["Content-Length"])) == b"crash":
            os._exit(7)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["MODEL"].encode())

host = sys.argv[sys.argv.index("--host") + 1] if "--host" in sys.argv else "0.0.0.0"
address = (host, int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


@pytest.fixture
def account() -> Iterator[EmulatedAccount]:
    with emulated_account(region="us-east-1") as opened:
        opened.client("s3").create_bucket(Bucket=BUCKET)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            archive.addfile(tarfile.TarInfo("model.onnx"))
        opened.client("s3").put_object(Bucket=BUCKET, Key="model.tar.gz", Body=buffer.getvalue())
        yield opened


@pytest.fixture
def hosting(account: EmulatedAccount, tmp_path: Path) -> Iterator[LocalHosting]:
    made = make_hosting(account, tmp_path)
    yield made
    made.close(ENDPOINT)


def make_hosting(account: EmulatedAccount, directory: Path) -> LocalHosting:
    image = directory / "serve-image"
    (image / "serve").mkdir(parents=True, exist_ok=True)
    (image / "serve" / "__main__.py").write_text(PROGRAM)
    (image / "serve" / "Dockerfile").write_text('ENTRYPOINT ["python", "-m", "serve"]\n')
    return LocalHosting(
        objects=account.objects,
        images=(ImageAsset(directory=image, dockerfile="serve/Dockerfile", tag="serve-1"),),
        interpreters={"serve": Path(sys.executable)},
        directory=directory / "endpoint",
        idle_seconds=600,
    )


def launch(hosting: LocalHosting, model: str = "m") -> str:
    """A fleet that is ready."""
    request = FleetRequest(
        endpoint=ENDPOINT,
        configuration=model,
        variant="AllTraffic",
        model=model,
        image_uri="repository:serve-1",
        model_data_uri=f"s3://{BUCKET}/model.tar.gz",
        environment={"MODEL": model},
    )
    fleet = hosting.launch(request)
    assert hosting.wait_ready(fleet) is None
    return fleet


def program(directory: Path) -> psutil.Process:
    """The process of the only fleet."""
    found = read_record(directory / "endpoint")
    assert found is not None
    [mark] = found.programs
    return psutil.Process(mark.pid)


def test_nobody_but_this_machine_reaches_a_fleet(hosting: LocalHosting, tmp_path: Path) -> None:
    launch(hosting)
    listening = [item for item in program(tmp_path).net_connections() if item.status == psutil.CONN_LISTEN]
    assert [item.laddr.ip for item in listening] == ["127.0.0.1"]
