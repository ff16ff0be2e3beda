"""What hosts of one job send one another, as bytes: JSON values and arrays, nothing that reading could run."""

import io
import json
from typing import Any

import numpy as np

# An object with this one key stands for an array.
PLACE = "$array"


def encode(value: object) -> bytes:
    """A tree of JSON values with numpy arrays among its leaves as .npz: the JSON first, then the arrays."""
    arrays: list[np.ndarray] = []

    def placed(part: object) -> dict[str, int]:
        if not isinstance(part, np.ndarray) or part.dtype.hasobject:
            raise TypeError(f"a {type(part).__name__} cannot be sent to another host; send plain data")
        arrays.append(part)
        return {PLACE: len(arrays)}

    text = json.dumps(value, default=placed)
    blob = io.BytesIO()
    np.savez(blob, np.frombuffer(text.encode(), np.uint8), *arrays)
    return blob.getvalue()


def decode(blob: bytes) -> Any:
    """The reverse of `encode`, with lists for tuples; any exception where the bytes are not its."""
    with np.load(io.BytesIO(blob), allow_pickle=False) as parts:

        def unplaced(found: dict[str, Any]) -> Any:
            return parts[f"arr_{found[PLACE]}"] if found.keys() == {PLACE} else found

        return json.loads(parts["arr_0"].tobytes(), object_hook=unplaced)
