"""One packaging from the inputs' folders to both outputs, all files of them or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.dataset import read_dataset, read_json
from common.files import AtomicFiles, json_bytes
from evaluate.model import load_model
from evaluate.thresholds import thresholds
from package.bundle import bundle
from package.convert import Converted, convert
from package.evaluation import read_report, read_thresholds, thresholds_of
from package.inputs import Inputs, Options
from package.onnx_model import OnnxModel
from package.precision import INT8
from package.report import with_served_model
from package.sample import choose_sample
from package.serving import Served, write_served


def package(inputs: Inputs, options: Options, *, provenance: Path, serving: Path) -> dict[str, Any]:
    """Fill both outputs and return the content of package.json.

    ``provenance`` gets the training artifact with its scores, labels and report, ``serving`` what an endpoint serves.
    ContainerError where an input is missing or damaged, the inputs belong to different runs, the exported model does
    not answer as the trained one, or no test record can serve as a sample.
    """
    dataset = read_dataset(inputs.dataset)
    suggested, precision = read_thresholds(inputs.evaluation, dataset)
    report = read_report(inputs.evaluation)
    model = load_model(inputs.archive, dataset=dataset)
    with AtomicFiles() as files:
        content = bundle(
            files,
            provenance,
            archive=inputs.archive,
            evaluation=inputs.evaluation,
            dataset=inputs.dataset,
            facts=dataset,
            training=model.training,
            network=options.network,
        )
        packing = read_json(inputs.dataset / "dataset.json")
        found = convert(model, inputs, options, classes=dataset.classes)
        served = Served(
            chosen=found.chosen,
            shape=model.shape,
            dataset=dataset,
            crop=packing.get("crop"),
            convert_icc=bool(packing.get("convert_icc", False)),
            thresholds=_thresholds(found, suggested, precision=precision),
            training_artifact_sha256=content["training_artifact_sha256"],
            sample=choose_sample(
                found.trained, found.chosen.answers, inputs.test_records, model=OnnxModel(found.chosen.content)
            ),
        )
        digest = write_served(served, files, serving)
        content["serving"] = {**found.described(), **served.described(), "model_sha256": digest}
        page = with_served_model(report, found, trained_bytes=inputs.archive.stat().st_size)
        files.open(provenance / "report.html").write(page.encode())
        files.open(provenance / "package.json").write(json_bytes(content))
    return content


def _thresholds(found: Converted, suggested: dict[str, Any], *, precision: float) -> dict[str, Any]:
    """Return the evaluation's thresholds; those of the served answers where int8 changes how sure they are."""
    if found.chosen.precision != INT8:
        return suggested
    return thresholds_of(thresholds(found.chosen.answers, precision=precision))
