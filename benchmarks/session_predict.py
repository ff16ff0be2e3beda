"""One image at a time with the endpoint's session, without its server: ``python session_predict.py SETTINGS`` (JSON).

Settings: model (folder of a packaged model), image (a file), runs. Prints seconds as `module_predict.py` does.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from serve.facts import read_facts  # type: ignore[import-not-found]
from serve.images import load_formats, read_tensor  # type: ignore[import-not-found]
from serve.network import Network  # type: ignore[import-not-found]

WARM_UP_RUNS = 5


def main(settings: dict[str, Any]) -> None:
    """Load, warm up, measure."""
    folder = Path(settings["model"])
    facts = read_facts(folder)
    load_formats()
    network = Network(folder, facts)
    data = Path(settings["image"]).read_bytes()
    seconds: dict[str, list[float]] = {"network": [], "image": []}
    for run in range(WARM_UP_RUNS + settings["runs"]):
        start = time.perf_counter()
        tensor = read_tensor(data, facts)
        read = time.perf_counter()
        network.run([tensor])
        end = time.perf_counter()
        if run >= WARM_UP_RUNS:
            seconds["network"].append(end - read)
            seconds["image"].append(end - start)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
