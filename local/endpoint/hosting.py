"""The hosting behind an emulated account's endpoints: serve containers as processes below a local endpoint."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from local.archives import unpack_model_archive
from local.assembly import ImageAsset
from local.containers.job import ContainerJob
from local.containers.process import LOOPBACK, command_of
from local.emulator.hosting import Answer, FleetRequest, ServedRequest
from local.endpoint import control
from local.endpoint.control import EndpointControl
from local.endpoint.fleet_files import IMAGE, ROOT, fleet_directory, remove_all_files, remove_files
from local.endpoint.runtime_api import validation_error
from local.errors import LocalRunError
from local.storage import Store, split_uri

_SERVE: Final = "serve"  # the argument that SageMaker gives a container that is to serve


class LocalHosting:
    """Runs the fleets of one endpoint below `directory`; all that they need is copied there, for they outlive a run."""

    def __init__(
        self,
        *,
        objects: Store,
        images: tuple[ImageAsset, ...],
        interpreters: Mapping[str, Path],
        directory: Path,
        idle_seconds: float,
    ) -> None:
        self._objects = objects
        self._images = {image.tag: image for image in images}
        self._interpreters = interpreters
        self._directory, self._idle_seconds = directory, idle_seconds
        self._control: EndpointControl | None = None
        self._lock = threading.Lock()

    @property
    def control(self) -> EndpointControl | None:
        """The endpoint's process, where it runs."""
        with self._lock:
            if self._control is None or self._control.record.host.process() is None:
                self._control = control.running(self._directory)
            return self._control

    def launch(self, request: FleetRequest) -> str:
        """See `Hosting.launch`; raises LocalRunError for an image or a model that is not there."""
        fleet = f"{request.configuration}-{uuid.uuid4().hex[:8]}"
        folder = fleet_directory(self._directory, fleet)
        if self.control is None:
            remove_all_files(self._directory)  # of a process that was killed
        try:
            image = self._image(request.image_uri, folder / IMAGE)
            self._unpack(request.model_data_uri, folder)
            job = ContainerJob(
                name=fleet,
                image=image,
                root=folder.resolve() / ROOT,
                log=folder / "serve.log",
                arguments=[_SERVE, *LOOPBACK],
                environment=request.environment,
            )
            command, environment = command_of(job, interpreters=self._interpreters)
            self._started(request.endpoint).launch(
                fleet,
                {
                    "command": command,
                    "environment": environment,
                    "directory": str(job.root),
                    "log": str(job.log.resolve()),
                    "variant": request.variant,
                    "capture_percent": request.capture_percent,
                    "shown": asdict(request),
                },
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return fleet

    def wait_ready(self, fleet: str) -> str | None:
        """See `Hosting.wait_ready`."""
        return self._running().wait_ready(fleet)

    def route(self, endpoint: str, shares: Mapping[str, float]) -> None:
        """See `Hosting.route`."""
        self._running().route(shares)

    def served(self, endpoint: str) -> list[ServedRequest]:
        """See `Hosting.served`."""
        return [ServedRequest(**item) for item in self._running().served()]

    def stop(self, fleet: str) -> None:
        """Ends a fleet and removes its files, its log excepted."""
        self._running().end(fleet)
        remove_files(self._directory, fleet)

    def close(self, endpoint: str) -> None:
        """Ends the endpoint's process with its fleets."""
        if found := self.control:
            found.stop()
        self._control = None
        remove_all_files(self._directory)

    def invoke(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """See `Hosting.invoke`."""
        found = self.control
        if found is None or found.record.name != endpoint:
            return validation_error(f"Endpoint {endpoint} not found.")
        return found.invoke(headers, body)

    def _running(self) -> EndpointControl:
        found = self.control
        if found is None:
            raise LocalRunError(f"the local endpoint below {self._directory} has ended")
        return found

    def _started(self, endpoint: str) -> EndpointControl:
        found = self.control
        with self._lock:
            if found is None:
                self._control = found = control.start(self._directory, name=endpoint, idle_seconds=self._idle_seconds)
            return found

    def _image(self, uri: str, folder: Path) -> ImageAsset:
        """A copy of the image; one that another commit built is stood in for by this one's serve image."""
        by_name = {image.name: image for image in self._images.values()}
        image = self._images.get(uri.rsplit(":", 1)[-1]) or by_name.get(_SERVE)
        if image is None:
            raise LocalRunError(f"image {uri} is not of this environment: synthesise one that has the image {_SERVE}")
        shutil.copytree(image.directory, folder)
        return ImageAsset(directory=folder.resolve(), dockerfile=image.dockerfile, tag=image.tag, target=image.target)

    def _unpack(self, uri: str, folder: Path) -> None:
        """The model at /opt/ml/model, as the service unpacks it."""
        model = folder / ROOT / "model"
        model.mkdir(parents=True)
        archive, (bucket, key) = folder / "model.tar.gz", split_uri(uri)
        if key not in set(self._objects.keys(bucket, key)):
            raise LocalRunError(f"{uri} does not exist: the version has lost its model; run the pipeline again")
        self._objects.copy_out(bucket, key, archive)
        unpack_model_archive(archive, model, name=uri)
        archive.unlink()
