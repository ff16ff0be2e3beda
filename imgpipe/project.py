"""Where things lie: the project's root, its environments, the Python of the MXNet image, the home of local runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from imgpipe.errors import CommandError
from local.storage import all_files

ROOT: Final = Path(__file__).resolve().parents[1]
HOME: Final = ROOT / ".imgpipe"
INTERPRETERS: Final = {
    "imaging": Path(sys.executable),
    "mxnet": ROOT / ".venv-mxnet" / "bin" / "python",
    "serve": Path(sys.executable),
}

# The default of infra.settings.EnvironmentSettings.project; the command line does not import infrastructure code.
DEFAULT_PROJECT: Final = "imgpipe"


_LIST: Final = ".lst"
_INSIDE: Final = 2  # parts of a path that lies in a folder of a class folder have more


@dataclass(frozen=True, kw_only=True)
class DeploymentSettings:
    """Where an environment is deployed, and the first part of its names."""

    region: str
    project: str
    idle_hours: float | None = None  # after which an endpoint that nobody asks goes; None where the file has none


def check_environment(name: str) -> Path:
    """The file of an environment; raises CommandError naming the known ones for an unknown name."""
    files = {path.stem: path for path in sorted((ROOT / "environments").glob("*.yaml"))}
    if name not in files:
        raise CommandError(f"environment {name!r} is unknown: use one of {', '.join(files)}")
    return files[name]


def environment_settings(name: str) -> DeploymentSettings:
    """What a command needs of an environment's file; `infra` checks all of it at synth."""
    path = check_environment(name)
    label = f"environments/{path.name}"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise CommandError(f"{label}: no valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("region"), str):
        raise CommandError(f"{label}: region: is required, for instance `region: us-east-1`")
    return DeploymentSettings(
        region=content["region"],
        project=str(content.get("project", DEFAULT_PROJECT)),
        idle_hours=(content.get("serving") or {}).get("idle_hours"),
    )


def parse_parameters(texts: list[str]) -> dict[str, str]:
    """`Name=value` texts as a mapping; raises CommandError for one without a name or an equals sign."""
    parameters = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise CommandError(f"--param {text!r}: write it as Name=value, for instance --param Epochs=5")
        if name in parameters:
            raise CommandError(f"--param {name} is given twice: leave one of them out")
        parameters[name] = value
    return parameters


def check_data_folder(folder: Path) -> int:
    """The number of files in class folders; raises CommandError where `folder` is no folder of class folders."""
    if not folder.exists():
        raise CommandError(f"{folder} does not exist: give a folder that holds one folder of images for each class")
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder: give a folder that holds one folder of images for each class")
    files = sum(1 for path in all_files(folder, hidden=False) if path.parent != folder)
    if not files:
        raise CommandError(f"{folder} holds no class folders with images: it must look like {folder}/CLASS/IMAGE.jpg")
    return files


def check_classes(folder: Path) -> None:
    """Raises CommandError where `folder` has a single class folder; of .lst files the packer judges.

    The packer counts exactly, as part of the run; this is what can be seen before it starts.
    """
    paths = [path.relative_to(folder) for path in all_files(folder, hidden=False)]
    if any(path.suffix == _LIST and len(path.parts) == 1 for path in paths):
        return
    names = {path.parts[0] for path in paths if len(path.parts) > 1}
    if len(names) > 1:
        return
    [name] = names
    inner = {path.parts[1] for path in paths if len(path.parts) > _INSIDE}
    hint = f"; it holds {len(inner)} folders itself, so perhaps {folder / name} is meant" if len(inner) > 1 else ""
    raise CommandError(
        f"{folder} needs at least 2 class folders with images, found only {name!r}: one folder of images per "
        f"class{hint}"
    )
