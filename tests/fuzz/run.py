"""Fuzzes for a given time and reports: python -m fuzz.run --seconds 600; see --help."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path

from fuzz.packer import keep
from fuzz.worker import STATUS, Status, limit_memory, save, target_named

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / ".imgpipe" / "fuzz"
PATHS = os.pathsep.join(str(REPOSITORY / name) for name in ("processing", "tests"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": PATHS, "OPENBLAS_NUM_THREADS": "1"}
# Shares of the time; a target gets a turn at a time, so that a short run has all of them too.
SHARES = {"decoder": 0.66, "readers": 0.09, "round trips": 0.08, "packer": 0.17}
TURNS = 3
LONG_RUN_SECONDS = 120
WATCH_SECONDS = 0.2
# A busy machine must not look like a hang, so CPU time counts; a wait without end shows on the clock.
CLOCK_PER_CPU_SECOND = 6
MAX_RESTARTS = 50


@dataclass
class Total:
    """What one target has come to; ``crashes`` are native deaths and hangs, ``peak`` the most memory in bytes."""

    name: str
    next_number: int = 0
    tried: int = 0
    accepted: int = 0
    refused: int = 0
    wrong: int = 0
    lost: int = 0
    crashes: int = 0
    slowest: float = 0.0
    slowest_number: int = 0
    peak: int = 0
    crash_causes: list[str] = field(default_factory=list)

    def add(self, status: Status) -> None:
        """Add the counts of a worker that has ended."""
        self.next_number = status.number
        self.tried += status.tried
        self.accepted += status.accepted
        self.refused += status.refused
        self.wrong += status.wrong
        self.lost += status.lost
        if status.slowest > self.slowest:
            self.slowest, self.slowest_number = status.slowest, status.slowest_number


def fuzz(seconds: float, seed: int, folder: Path, targets: Sequence[str]) -> list[Total]:
    """Give each target its share of ``seconds``; findings are left in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "findings.jsonl").unlink(missing_ok=True)
    totals = {name: Total(name) for name in targets}
    turns = TURNS if seconds >= LONG_RUN_SECONDS else 1
    shares = sum(SHARES.get(name, 1) for name in targets if name != "bombs")
    if "bombs" in targets:
        seconds -= _bombs(totals["bombs"], seed, folder)
    for _ in range(turns):
        for name, total in totals.items():
            if name != "bombs":
                work(total, seed, folder, max(seconds, 1) * SHARES.get(name, 1) / shares / turns)
    return list(totals.values())


def _bombs(total: Total, seed: int, folder: Path) -> float:
    """Try each bomb twice, however long that takes; return the seconds."""
    began = time.monotonic()
    # In another process: what it takes to make them must not count as memory of decoding them.
    subprocess.run([sys.executable, "-m", "fuzz.corpus", str(folder / "bombs")], env=ENVIRONMENT, check=True)
    work(total, seed, folder, 600, inputs=2 * len(list((folder / "bombs").glob("*.bin"))))
    return time.monotonic() - began


def work(total: Total, seed: int, folder: Path, seconds: float, inputs: int | None = None) -> None:
    """Keep a worker at work until the time is over or ``inputs`` are through; start another one when it dies."""
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        while time.monotonic() < deadline and total.crashes < MAX_RESTARTS:
            if inputs is not None and total.next_number >= inputs:
                return
            _one_worker(total, seed, folder, deadline, inputs, Path(temporary))


def _one_worker(total: Total, seed: int, folder: Path, deadline: float, inputs: int | None, temporary: Path) -> None:
    status_path = temporary / "status"
    status_path.write_bytes(STATUS.pack(*astuple(Status(number=total.next_number))))
    command = [sys.executable, "-m", "fuzz.worker", total.name, str(seed), str(total.next_number), str(status_path)]
    environment = {**ENVIRONMENT, "TMPDIR": str(temporary)}
    process = subprocess.Popen([*command, str(folder)], env=environment, start_new_session=True)
    limit = target_named(total.name, folder / "bombs").seconds_per_input
    ended = None
    try:
        while ended is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(WATCH_SECONDS)
            status = Status.read(status_path)
            if process.returncode is not None:
                ended = _name_of_death(process.returncode)
            elif _hangs(process.pid, status, limit):
                ended = f"hang of more than {limit:.0f} s"
            elif time.monotonic() > deadline or (inputs is not None and status.number >= inputs):
                ended = ""
            total.peak = max(total.peak, _peak(process.pid))
    finally:
        _end(process, abort=bool(ended))
    status = Status.read(status_path)
    total.add(status)
    if ended:
        _record_crash(total, seed, folder, ended, status)


def _name_of_death(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def _hangs(pid: int, status: Status, limit: float) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return False
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return cpu - status.began_cpu > limit or time.monotonic() - status.began > CLOCK_PER_CPU_SECOND * limit


def _peak(pid: int) -> int:
    """Return the most memory that a process has had, in bytes; 0 where it has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def _end(process: subprocess.Popen[bytes], *, abort: bool) -> None:
    """End the worker and what it has started; SIGABRT makes a hung one write down where it is."""
    for number in ([signal.SIGABRT] if abort else []) + [signal.SIGKILL]:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)


def _record_crash(total: Total, seed: int, folder: Path, ended: str, status: Status) -> None:
    log = (folder / "worker.log").read_text(errors="replace")[-6000:]
    total.crashes += 1
    total.tried += 1
    total.next_number = status.number + 1
    data = target_named(total.name, folder / "bombs").make(seed, status.number)
    save(folder, total.name, data, seed, status.number, cause=ended, trace=log)


def report(totals: Sequence[Total], folder: Path, seed: int) -> int:
    """Print what came out; return the exit code."""
    for total in totals:
        target = target_named(total.name, folder / "bombs")
        print(
            f"{total.name}: tried {total.tried:,}, {target.accepted} {total.accepted:,}, {target.refused} "
            f"{total.refused:,}, wrong {total.wrong:,}, crashes {total.crashes:,}, lost {total.lost:,}; "
            f"slowest {total.slowest:.1f} s (number {total.slowest_number}), peak {total.peak / 2**20:.0f} MiB"
        )
    for finding in _causes(folder):
        print(f"\n{finding}", file=sys.stderr)
    crashes, lost = sum(total.crashes + total.wrong for total in totals), sum(total.lost for total in totals)
    print(
        f"inputs tried {sum(t.tried for t in totals):,}: decoded {sum(t.accepted for t in totals):,}, "
        f"rejected {sum(t.refused for t in totals):,}, crashes {crashes:,}, lost {lost:,} (seed {seed})"
    )
    return 1 if crashes or lost else 0


def _causes(folder: Path) -> list[str]:
    """Return one text per cause: its last lines, and how to see it again."""
    path = folder / "findings.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    findings = [json.loads(line) for line in lines]
    counts = Counter((finding["target"], finding["cause"]) for finding in findings)
    texts = []
    for (target, cause), count in counts.items():
        first = next(f for f in findings if (f["target"], f["cause"]) == (target, cause))
        place = f"--seed {first['seed']} --target '{target}' --only {first['number']}"
        by_file = bool(first["file"]) and target != "bombs"
        again = f'make fuzz REPLAY="{first["file"]}"' if by_file else f'make fuzz ARGS="{place}"'
        tail = "\n".join(first["trace"].rstrip().splitlines()[-12:])
        texts.append(f"{target}: {cause}, {count} inputs saved\n{tail}\nagain: {again}")
    return texts


def replay(path: Path) -> int:
    """Try one saved input, in this process; its name begins with its target."""
    name = path.name.split("-")[0]
    target = target_named(name if name in {"decoder", "readers"} else "decoder", FOLDER / "bombs")
    limit_memory()
    target.replay(path.read_bytes())
    print(f"{path}: nothing wrong")
    return 0


def only(name: str, seed: int, number: int) -> int:
    """Try the input with a number, in this process; what the packer gets is kept to be looked at."""
    target = target_named(name, FOLDER / "bombs")
    if name == "packer":
        keep(FOLDER / f"packer-{seed}-{number}", seed, number)
        print(f"the folder is {FOLDER / f'packer-{seed}-{number}'}")
    limit_memory()
    accepted, refused = target.check(target.make(seed, number), seed, number)
    print(f"{target.accepted} {accepted}, {target.refused} {refused}: nothing wrong")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and do what it says; return the exit code."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long, 600 by default")
    parser.add_argument("--seed", type=int, help="names the inputs; the time of day by default")
    parser.add_argument("--target", action="append", choices=["bombs", *SHARES], help="fuzz only this; may be repeated")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="try this one input of --target and --seed")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try a saved input again, in all ways")
    parsed = parser.parse_args(arguments)
    if parsed.replay:
        return replay(parsed.replay)
    seed = int(time.time()) if parsed.seed is None else parsed.seed
    if parsed.only is not None:
        return only((parsed.target or ["decoder"])[0], seed, parsed.only)
    return report(fuzz(parsed.seconds, seed, FOLDER, parsed.target or ["bombs", *SHARES]), FOLDER, seed)


if __name__ == "__main__":
    sys.exit(main())
