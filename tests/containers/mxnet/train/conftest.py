"""Training jobs of small synthetic images."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from small_images import SIDE, samples, write_records


@pytest.fixture
def make_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Lay out $ML_ROOT for a training job and point to it; returns the root."""

    def make(train: int = 48, validation: int = 20, name: str = "job", **hyperparameters: object) -> Path:
        root = tmp_path / name
        write_records(root / "input/data/train/train.rec", samples(train))
        write_records(root / "input/data/validation/validation.rec", samples(validation, seed=1))
        given = {
            "num_classes": 3,
            "num_training_samples": train,
            "num_layers": 20,
            "image_shape": f"3,{SIDE},{SIDE}",
            "mini_batch_size": 16,
            "epochs": 2,
            "learning_rate": 0.05,
        } | hyperparameters
        config = root / "input" / "config"
        config.mkdir(parents=True)
        text = {key: str(value) for key, value in given.items() if value is not None}
        (config / "hyperparameters.json").write_text(json.dumps(text))
        monkeypatch.setenv("ML_ROOT", str(root))
        return root

    return make
