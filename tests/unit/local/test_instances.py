"""Processing jobs on several instances: who gets what, what is kept of it, and how one failure ends all."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import psutil
import pytest
from small_pipeline import BUCKET, IMAGE_URI, ROLE, Laboratory, Recorder, output_uri, processing

from local.containers.docker import run_command
from local.containers.job import ContainerJob, Ended
from local.executor import instances
from local.executor.definition import Step
from local.memory import PeakMemory

# What instances say of themselves in the tests.
HOST = "host = json.loads((root / 'config/resourceconfig.json').read_text())['current_host']\n"
WRITES_ITS_SHARE = HOST + (
    "names = sorted(path.name for path in (root / 'processing/input/data').iterdir())\n"
    "place = root / 'processing/output/pool' / host\n"
    "place.mkdir()\n"
    "(place / 'names').write_text(' '.join(names))\n"
)


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "available_cores", lambda: 2)


def images(laboratory: Laboratory, count: int) -> str:
    for number in range(count):
        laboratory.put(f"in/{number:03}.jpg")
    return f"s3://{BUCKET}/in/"


def read(laboratory: Laboratory, key: str) -> str:
    return str(laboratory.account.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read().decode())


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_instance_gets_its_share_and_all_write_to_one_place(laboratory: Laboratory, count: int) -> None:
    data = images(laboratory, 7)
    pack = processing(
        "Pack",
        WRITES_ITS_SHARE,
        inputs={"data": data},
        outputs=("pool",),
        instances=count,
        distribution="ShardedByS3Key",
    )
    merge = processing(
        "Merge",
        "print(*sorted(path.name for path in (root / 'processing/input/pool').iterdir()))",
        inputs={"pool": output_uri("Pack", "pool")},
    )
    observer = Recorder()
    result = laboratory.run([pack, merge], observer=observer)
    assert result.record.status == "Succeeded", result.record.failure_reason
    hosts = [f"algo-{number + 1}" for number in range(count)]
    assert observer.lines == [("Merge", " ".join(hosts))]
    prefix = f"executions/{result.record.id}/pack/pool"
    shares = [read(laboratory, f"{prefix}/{host}/names").split() for host in hosts]
    assert sorted(name for share in shares for name in share) == [f"{number:03}.jpg" for number in range(7)]
    assert {len(share) for share in shares} <= {7 // count, 7 // count + 1}
    sagemaker = laboratory.account.client("sagemaker")
    name = result.step("Pack").metadata["ProcessingJob"]["Arn"].rsplit("/", 1)[-1]
    described = sagemaker.describe_processing_job(ProcessingJobName=name)
    assert described["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == count


def test_an_instance_without_a_share_finds_an_empty_directory(laboratory: Laboratory) -> None:
    pack = processing(
        "Pack",
        WRITES_ITS_SHARE,
        inputs={"data": images(laboratory, 2)},
        outputs=("pool",),
        instances=4,
        distribution="ShardedByS3Key",
    )
    result = laboratory.run([pack])
    assert result.record.status == "Succeeded", result.record.failure_reason
    prefix = f"executions/{result.record.id}/pack/pool"
    assert [read(laboratory, f"{prefix}/algo-{number}/names") for number in (1, 2, 3, 4)] == [
        "000.jpg",
        "001.jpg",
        "",
        "",
    ]


@pytest.mark.parametrize("distribution", [None, "FullyReplicated"])
def test_what_is_replicated_is_whole_everywhere(laboratory: Laboratory, distribution: str | None) -> None:
    pack = processing(
        "Pack",
        WRITES_ITS_SHARE,
        inputs={"data": images(laboratory, 3)},
        outputs=("pool",),
        instances=2,
        distribution=distribution,
    )
    result = laboratory.run([pack])
    for host in ("algo-1", "algo-2"):
        key = f"executions/{result.record.id}/pack/pool/{host}/names"
        assert read(laboratory, key) == "000.jpg 001.jpg 002.jpg"


def test_an_unknown_distribution_is_refused(laboratory: Laboratory) -> None:
    step = processing("Pack", inputs={"data": images(laboratory, 1)}, distribution="ByMoon")
    reason = laboratory.run([step]).record.failure_reason
    assert "input data: distribution ByMoon is unknown: use FullyReplicated or ShardedByS3Key" in str(reason)


@pytest.mark.parametrize("count", [1, 11])
def test_instances_are_told_who_they_are(laboratory: Laboratory, count: int) -> None:
    """Format: "How Amazon SageMaker Processing Configures Your Processing Container"."""
    result = laboratory.run([processing("Pack", outputs=("o",), environment={"A": "b"}, instances=count)])
    assert result.record.status == "Succeeded", result.record.failure_reason
    step = result.directory / "steps" / "Pack"
    names = [f"algo-{number + 1}" for number in range(count)]
    for name in names:
        config = (step if count == 1 else step / name) / "config"
        resources = json.loads((config / "resourceconfig.json").read_text())
        assert resources == {"current_host": name, "hosts": sorted(names)}
        job = json.loads((config / "processingjobconfig.json").read_text())
        assert job["ProcessingJobArn"] == result.step("Pack").metadata["ProcessingJob"]["Arn"]
        assert job["ProcessingJobName"] == job["ProcessingJobArn"].rsplit("/", 1)[-1]
        assert (job["AppSpecification"]["ImageUri"], job["RoleArn"]) == (IMAGE_URI, ROLE)
        assert job["Environment"] == {"A": "b"}
        assert job["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == count
        assert job["ProcessingOutputConfig"]["Outputs"][0]["OutputName"] == "o"


@pytest.mark.usefixtures("two_cores")
def test_instances_run_side_by_side(laboratory: Laboratory, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")  # opening it waits for the other side: one after the other both would hang
    program = HOST + (
        "end = 'w' if host == 'algo-1' else 'r'\n"
        "with open(os.environ['FIFO'], end) as file: file.write('met') if end == 'w' else print(file.read())"
    )
    observer = Recorder()
    step = processing("Pack", program, environment={"FIFO": str(tmp_path / "fifo")}, instances=2)
    assert laboratory.run([step], observer=observer).record.status == "Succeeded"
    assert observer.lines == [("Pack", "algo-2: met")]


@pytest.mark.parametrize("cores", [1, 3])
def test_no_more_run_at_once_than_there_are_cores(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(instances, "available_cores", lambda: cores)
    running, most, lock, together = 0, 0, threading.Lock(), threading.Barrier(cores)

    class Counts:
        name = "counts"

        def run(self, job: ContainerJob, *, on_line: object, stop: threading.Event) -> Ended:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            together.wait(timeout=60)
            with lock:
                running -= 1
            return Ended(exit_code=0)

    laboratory.runtime = Counts()
    assert laboratory.run([processing("Pack", instances=6)]).record.status == "Succeeded"
    assert most == cores


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert instances.available_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert instances.available_cores() == os.cpu_count()


def test_each_instance_has_a_log_and_the_steps_log_has_all(laboratory: Laboratory) -> None:
    observer = Recorder()
    program = HOST + "print('begin'); print('end of', host)"
    result = laboratory.run([processing("Pack", program, instances=3)], observer=observer)
    logs = result.directory / "logs"
    hosts = ("algo-1", "algo-2", "algo-3")
    together = (logs / "Pack.log").read_text().splitlines()
    for host in hosts:
        own = (logs / "Pack" / f"{host}.log").read_text()
        assert own == f"begin\nend of {host}\n"
        assert [line for line in together if line.startswith(host)] == [f"{host}: begin", f"{host}: end of {host}"]
    assert len(together) == 6
    assert observer.lines == [("Pack", line) for line in together]
    assert observer.events == [("started", "Pack"), ("Succeeded", "Pack")]


def test_containers_of_one_job_have_names_of_their_own(laboratory: Laboratory) -> None:
    jobs: list[ContainerJob] = []

    class Remembers:
        name = "remembers"

        def run(self, job: ContainerJob, *, on_line: object, stop: threading.Event) -> Ended:
            jobs.append(job)
            return Ended(exit_code=0)

    laboratory.runtime = Remembers()
    laboratory.run([processing("Pack", instances=3), processing("One")])
    several = [job for job in jobs if "-Pack-" in job.name]
    [one] = [job for job in jobs if "-One-" in job.name]
    assert sorted(job.name[-7:] for job in several) == ["-algo-1", "-algo-2", "-algo-3"]
    assert sorted(job.root.name for job in several) == ["algo-1", "algo-2", "algo-3"]
    assert (one.root.name, "algo" in one.name) == ("One", False)
    options = {option for job in jobs for option in run_command(job) if option.startswith(("--name=", "--volume="))}
    assert len(options) == 8


def test_two_writers_of_one_key_are_an_error_that_names_it(laboratory: Laboratory) -> None:
    program = HOST + (
        "(root / 'processing/output/pool/index').write_text(host)\n"
        "(root / 'processing/output/pool' / host).write_text(host)"
    )
    result = laboratory.run([processing("Pack", program, outputs=("pool",), instances=2)])
    key = f"s3://{BUCKET}/executions/{result.record.id}/pack/pool/index"
    assert str(result.record.failure_reason).startswith(
        f"Step Pack failed: instances algo-1 and algo-2 both wrote {key}: put the host"
    )
    assert laboratory.keys() == []


@pytest.mark.usefixtures("two_cores")
def test_one_failure_fails_the_job_and_stops_the_others(laboratory: Laboratory, tmp_path: Path) -> None:
    """algo-1 never ends by itself, algo-2 fails once algo-1 is up, algo-3 would run after them."""
    os.mkfifo(tmp_path / "up")
    program = HOST + (
        "(root / 'processing/output/pool' / host).write_text(host)\n"
        "if host == 'algo-1':\n"
        "    print('pid', os.getpid(), flush=True); open(os.environ['UP'], 'w').close(); signal.pause()\n"
        "open(os.environ['UP']).close()\n"
        "(root / 'output/message').write_text('no room for ' + host); sys.exit(3)"
    )
    step = processing("Pack", program, outputs=("pool",), environment={"UP": str(tmp_path / "up")}, instances=3)
    observer = Recorder()
    result = laboratory.run([step, processing("Next", DependsOn=["Pack"])], observer=observer)
    reason = "AlgorithmError: no room for algo-2, exit code: 3 (instance algo-2 of 3)"
    assert result.record.failure_reason == f"Step Pack failed: {reason}"
    assert result.names() == ["Pack"]
    assert laboratory.keys() == []
    [(_, line)] = observer.lines
    assert not psutil.pid_exists(int(line.split()[-1]))
    assert not (result.directory / "steps" / "Pack" / "algo-3").exists()
    sagemaker = laboratory.account.client("sagemaker")
    [job] = sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
    described = sagemaker.describe_processing_job(ProcessingJobName=job["ProcessingJobName"])
    assert (described["ProcessingJobStatus"], described["FailureReason"]) == ("Failed", reason)
    assert described["ExitMessage"] == "no room for algo-2"


def test_messages_of_all_instances_are_kept(laboratory: Laboratory) -> None:
    """The service concatenates them, then takes the first kilobyte."""
    program = HOST + "(root / 'output/message').write_text((host + ' ') * 100)"
    laboratory.run([processing("Pack", program, instances=3)])
    sagemaker = laboratory.account.client("sagemaker")
    [job] = sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
    message = sagemaker.describe_processing_job(ProcessingJobName=job["ProcessingJobName"])["ExitMessage"]
    assert len(message) == 1024
    assert {name: message.count(name) for name in ("algo-1", "algo-2")} == {"algo-1": 100, "algo-2": 46}


def test_what_cannot_be_started_stops_the_others_too(laboratory: Laboratory) -> None:
    step = processing("Pack", inputs={"data": f"s3://{BUCKET}/nothing/"}, instances=2, distribution="ShardedByS3Key")
    result = laboratory.run([step])
    assert str(result.record.failure_reason).startswith(f"Step Pack failed: s3://{BUCKET}/nothing/ holds no object")


@pytest.mark.usefixtures("two_cores")
def test_ctrl_c_stops_all_instances_and_begins_no_further_one(laboratory: Laboratory) -> None:
    pids: list[int] = []
    lock = threading.Lock()

    def interrupt(step: Step, line: str) -> None:
        with lock:
            pids.append(int(line.rsplit(maxsplit=1)[-1]))
            if len(pids) == 2:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    # They end with 0, as a program may that has saved its state: the step is stopped, not done.
    program = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print(os.getpid(), flush=True); signal.pause()"
    result = laboratory.run([processing("Pack", program, instances=5)], observer=Recorder(on_line=interrupt))
    assert result.record.status == "Stopped"
    assert {step.name: step.status for step in result.record.steps} == {"Pack": "Stopped"}
    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)
    begun = {path.name for path in (result.directory / "steps" / "Pack").iterdir()}
    assert len(begun) == 2


@pytest.mark.parametrize("fails", [False, True])
def test_inputs_of_all_instances_are_dropped_after_success_only(laboratory: Laboratory, fails: bool) -> None:
    program = HOST + f"sys.exit(3 if {fails} and host == 'algo-2' else 0)"
    step = processing(
        "Pack", program, inputs={"data": images(laboratory, 2)}, instances=2, distribution="ShardedByS3Key"
    )
    result = laboratory.run([step])
    roots = [result.directory / "steps" / "Pack" / host for host in ("algo-1", "algo-2")]
    assert (roots[1] / "processing/input/data").exists() == fails
    assert any((root / "processing/input/data").exists() for root in roots) == fails


@pytest.mark.usefixtures("two_cores")
def test_memory_of_instances_that_run_together_adds_up(laboratory: Laboratory, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    memory = PeakMemory()

    def look(step: Step, line: str) -> None:
        if "met" in line:
            memory.sample()

    program = HOST + (
        "held = os.urandom(1) * 60_000_000\n"
        "with open(os.environ['FIFO'], 'w' if host == 'algo-1' else 'r') as file:\n"
        "    file.write('x') if host == 'algo-1' else file.read()\n"
        "if host == 'algo-2': print('met', flush=True)\n"
        "signal.pause() if host == 'algo-1' else sys.exit(3)"
    )
    step = processing("Pack", program, environment={"FIFO": str(tmp_path / "fifo")}, instances=2)
    memory.sample()
    before = memory.peak_bytes
    laboratory.run([step], observer=Recorder(on_line=look))
    assert memory.peak_bytes - before > 60_000_000
