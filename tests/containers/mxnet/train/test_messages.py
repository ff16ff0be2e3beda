"""What hosts send one another comes out as it went in, and nothing else does."""

import pickle
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from train import messages


def test_plain_data_and_arrays_come_out_as_they_went_in() -> None:
    sent = {
        "epochs": [{"rate": 0.1 + 0.2, "name": "fc1_weight", "none": None, "yes": True}],
        "arrays": {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "empty": np.zeros((0, 4), np.float32)},
    }
    found = messages.decode(messages.encode(sent))
    assert found["epochs"] == sent["epochs"]
    assert found["arrays"].keys() == {"a", "empty"}
    for name, array in sent["arrays"].items():
        assert found["arrays"][name].dtype == array.dtype
        np.testing.assert_array_equal(found["arrays"][name], array)


@pytest.mark.parametrize("value", [{"a": mx.nd.ones(3)}, [np.array([{}])], {"path": Path("model")}])
def test_what_another_machine_cannot_use_is_not_sent(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be sent to another host"):
        messages.encode(value)


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "ran"))
    with pytest.raises(ValueError, match="allow_pickle"):
        messages.decode(bomb)
    assert list(tmp_path.iterdir()) == []
