"""Where things lie: the project's root, its environments, the Python of the MXNet image, the home of local runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import yaml

from imgpipe.errors import CommandError

ROOT: Final = Path(__file__).resolve().parents[1]
HOME: Final = ROOT / ".imgpipe"
INTERPRETERS: Final = {"images": Path(sys.executable), "mxnet": ROOT / ".venv-mxnet" / "bin" / "python"}

# The default of infra.settings.EnvironmentSettings.project; the command line does not import infrastructure code.
DEFAULT_PROJECT: Final = "imgpipe"


def environment_file(name: str) -> dict[str, Any]:
    """The raw content of environments/<name>.yaml; raises CommandError naming the known ones for an unknown name."""
    path = ROOT / "environments" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(item.stem for item in path.parent.glob("*.yaml")))
        raise CommandError(f"environment {name!r} is unknown: use one of {known}")
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def parse_parameters(texts: list[str]) -> dict[str, str]:
    """`Name=value` texts as a mapping; raises CommandError for one without a name or an equals sign."""
    parameters = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise CommandError(f"--param {text!r}: write it as Name=value, for instance --param Epochs=5")
        parameters[name] = value
    return parameters


def check_data_folder(folder: Path) -> int:
    """The number of files in class folders; raises CommandError where `folder` is no folder of class folders."""
    if not folder.exists():
        raise CommandError(f"{folder} does not exist: give a folder that holds one folder of images for each class")
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder: give a folder that holds one folder of images for each class")
    classes = [item for item in folder.iterdir() if item.is_dir() and not item.name.startswith(".")]
    files = sum(1 for item in classes for path in item.rglob("*") if path.is_file())
    if not files:
        raise CommandError(f"{folder} holds no class folders with images: it must look like {folder}/CLASS/IMAGE.jpg")
    return files
