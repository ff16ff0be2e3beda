"""Carries out a Tuning step: training jobs with hyperparameters that a search proposes, side by side."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from local.errors import LocalRunError, explain_os_error
from local.executor.definition import Step
from local.executor.expressions import StepOutcome
from local.executor.instances import available_cores
from local.executor.tools import FAILURE_REASON_LIMIT, Done, LinkedStop, StepFailed, Tools, recorded
from local.executor.training_job import TrainingJob, run_training_job
from local.executor.trials import Proposal, Trial
from local.executor.warm_start import earlier_trials

if TYPE_CHECKING:
    from local.executor.search import Search

# Fields of HyperParameterTrainingJobDefinition that CreateTrainingJob takes as they are.
_SHARED: Final = (
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "RetryStrategy",
    "Environment",
)
_SEEDS: Final = 2**32
_MOST_SUMMARIES: Final = 50  # a definition may refer to the fifty best


def run_tuning(step: Step, arguments: dict[str, Any], tools: Tools) -> Done:
    """Runs a tuning job; later steps may refer to its description, the best training job in it.

    Fails where no training job was completed with a value of the objective. Results are heard of in the order in which
    the training jobs began, so that equal runs propose equal trials; Hyperband, which compares jobs that still run,
    hears of each as it ends.
    """
    _refuse(arguments)
    name, sagemaker = tools.tuning_job_name(step), tools.account.client("sagemaker")
    arn = sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName=name, **arguments)[
        "HyperParameterTuningJobArn"
    ]
    states = tools.account.tuning_states
    states.set_trials(name, [])
    stop = LinkedStop(tools.stop, states.stop_event(name))
    with recorded(functools.partial(states.set, name), stop=stop):
        _Tuning(step, name, arn, arguments, tools, stop).run()
    description = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    properties = description | {"TrainingJobSummaries": _best_first(sagemaker, description)}
    return Done(outcome=StepOutcome(properties=properties), metadata={"TuningJob": {"Arn": arn}})


def _best_first(sagemaker: Any, description: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a step's property TrainingJobSummaries holds: the completed training jobs, the best at 0."""
    objective = description["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"]
    answer = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=description["HyperParameterTuningJobName"],
        StatusEquals="Completed",
        SortBy="FinalObjectiveMetricValue",
        SortOrder="Descending" if objective == "Maximize" else "Ascending",
        MaxResults=_MOST_SUMMARIES,
    )
    summaries: list[dict[str, Any]] = answer["TrainingJobSummaries"]
    return summaries


def _refuse(arguments: Mapping[str, Any]) -> None:
    for field in ("TrainingJobDefinitions", "Autotune"):
        if arguments.get(field):
            raise LocalRunError(f"tuning: {field} is not carried out here: use one TrainingJobDefinition with ranges")
    if "ResourceConfig" not in arguments["TrainingJobDefinition"]:
        raise LocalRunError("tuning: TrainingJobDefinition has no ResourceConfig, which a local run needs")


class _Tuning:
    """One tuning job in progress."""

    def __init__(
        self, step: Step, name: str, arn: str, arguments: Mapping[str, Any], tools: Tools, stop: threading.Event
    ) -> None:
        self._step, self._name, self._arn, self._tools, self._stop = step, name, arn, tools, stop
        self._config = arguments["HyperParameterTuningJobConfig"]
        self._definition = arguments["TrainingJobDefinition"]
        self._objective = self._config["HyperParameterTuningJobObjective"]
        self._parallel = max(1, min(self._config["ResourceLimits"]["MaxParallelTrainingJobs"], available_cores()))
        self._search = self._new_search(arguments.get("WarmStartConfig"))
        self._trials: list[Trial] = []
        self._halt = LinkedStop(stop)
        self._shown: float | None = None
        self._lock = threading.Lock()

    def _new_search(self, warm_start: Mapping[str, Any] | None) -> Search:
        from local.executor.search import Search  # late: Optuna takes time to import, and few executions tune

        earlier = earlier_trials(self._tools.account.client("sagemaker"), warm_start, self._objective)
        epochs = self._definition.get("StaticHyperParameters", {}).get("epochs")
        digest = hashlib.sha256(self._tools.execution_id.encode()).digest()
        search = Search(
            self._config,
            seed=self._config.get("RandomSeed", int.from_bytes(digest[:4], "big")) % _SEEDS,
            epochs=int(epochs) if epochs else None,
            earlier=earlier,
        )
        if earlier:
            self._log(f"warm start: {search.known} of {len(earlier)} earlier trials lie within the ranges")
        return search

    def run(self) -> None:
        """Runs all trials; raises StepFailed where there is no best one."""
        if self._config.get("TuningJobCompletionCriteria", {}).get("ConvergenceDetected"):
            self._log("the service alone detects convergence: all training jobs are run here")
        with ThreadPoolExecutor(self._parallel, thread_name_prefix="trial") as pool:
            try:
                self._advance(pool)
            except BaseException:
                self._halt.set()
                raise
        self._conclude()

    def _advance(self, pool: ThreadPoolExecutor) -> None:
        running: dict[Future[None], Trial] = {}
        while True:
            while len(running) < self._parallel and self._goes_on():
                trial = self._begin()
                running[pool.submit(self._carry_out, trial)] = trial
            if not running:
                return
            for future in self._ended(running):
                self._settle(running.pop(future), future)

    def _goes_on(self) -> bool:
        return len(self._trials) < self._search.limit and not self._stop.is_set() and not self._is_enough()

    def _is_enough(self) -> bool:
        """Whether one of the job's completion criteria is met."""
        criteria = self._config.get("TuningJobCompletionCriteria", {})
        ended = [trial for trial in self._trials if trial.ended]
        best, since = None, 0
        for trial in ended:
            if trial.value is not None and (best is None or self._search.is_better(trial.value, best)):
                best, since = trial.value, 0
            else:
                since += 1
        target = criteria.get("TargetObjectiveMetricValue")
        if target is not None and best is not None and not self._search.is_better(target, best):
            return True
        patience = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
        return patience is not None and since >= patience

    def _ended(self, running: Mapping[Future[None], Trial]) -> list[Future[None]]:
        """Waits for the oldest trial, or for any where order cannot be kept."""
        if self._search.ends_jobs_by_rank:
            return list(wait(running, return_when=FIRST_COMPLETED).done)
        oldest = next(iter(running))
        wait([oldest])
        return [oldest]

    def _begin(self) -> Trial:
        proposal = self._search.propose()
        job_name = self._job_name(proposal)
        trial = Trial(
            number=proposal.number,
            job_name=job_name,
            job_arn=f"{self._arn.split(':hyper-parameter-tuning-job/')[0]}:training-job/{job_name}",
            hyperparameters=proposal.hyperparameters,
            started=datetime.now(timezone.utc),
        )
        self._trials.append(trial)
        self._record()
        return trial

    def _job_name(self, proposal: Proposal) -> str:
        """As the service names a tuning job's training jobs: number and hash after the tuning job's name."""
        text = "/".join(f"{name}={value}" for name, value in sorted(proposal.hyperparameters.items()))
        suffix = hashlib.sha256(f"{self._name}/{proposal.number}/{text}".encode()).hexdigest()[:8]
        return f"{self._name}-{proposal.number + 1:03}-{suffix}"

    def _carry_out(self, trial: Trial) -> None:
        """Runs in a thread of the pool, to the end of the trial's training job."""
        stop = LinkedStop(self._halt)
        early = threading.Event()

        def on_metric(metric: str, epoch: int, value: float) -> None:
            if metric != self._objective["MetricName"]:
                return
            trial.value = value
            if epoch <= trial.epoch:
                return  # the best epoch once more, at the end
            trial.epoch = epoch
            self._show(trial, epoch, value)
            if self._search.report(trial.number, epoch, value):
                early.set()
                stop.set()

        job = TrainingJob(
            name=trial.job_name,
            arguments=self._arguments(trial),
            root=self._tools.step_directory(self._step) / trial.job_name,
            log=self._tools.log(self._step).with_suffix("") / f"{trial.job_name}.log",
            stop=stop,
            on_line=lambda line: None,
            on_metric=on_metric,
            cores=max(1, available_cores() // self._parallel),
            tuning_job_arn=self._arn,
        )
        try:
            trained = run_training_job(job, self._tools)
            trial.status, trial.value = "Completed", trained.final.get(self._objective["MetricName"])
        except (StepFailed, LocalRunError, ClientError, BotoCoreError) as error:
            self._fail(trial, " ".join(str(error).split()), stopped=stop.is_set(), early=early.is_set())
        except OSError as error:
            self._fail(trial, explain_os_error(error), stopped=stop.is_set(), early=early.is_set())

    def _fail(self, trial: Trial, reason: str, *, stopped: bool, early: bool) -> None:
        if not stopped:
            trial.status, trial.failure_reason = "Failed", reason[:FAILURE_REASON_LIMIT]
            return
        trial.status = "Stopped"
        if not early:
            trial.value = None

    def _arguments(self, trial: Trial) -> dict[str, Any]:
        """The request of a trial's training job; each has checkpoints of its own."""
        definition = self._definition
        arguments = {field: definition[field] for field in _SHARED if field in definition}
        arguments["HyperParameters"] = {**definition.get("StaticHyperParameters", {}), **trial.hyperparameters}
        if checkpoints := definition.get("CheckpointConfig"):
            uri = f"{checkpoints['S3Uri'].rstrip('/')}/{trial.job_name}"
            arguments["CheckpointConfig"] = {**checkpoints, "S3Uri": uri}
        return arguments

    def _show(self, trial: Trial, epoch: int, value: float) -> None:
        """Tells who watches: `trial 3 of 8: epoch 4 validation accuracy 0.910, best 0.950`."""
        with self._lock:
            if self._shown is None or self._search.is_better(value, self._shown):
                self._shown = value
            best = self._shown
        metric = self._objective["MetricName"].replace(":", " ").replace("_", " ")
        self._tools.on_line(
            self._step,
            f"trial {trial.number + 1} of {self._search.limit}: epoch {epoch} {metric} {value:.3f}, best {best:.3f}",
        )

    def _settle(self, trial: Trial, future: Future[None]) -> None:
        """A trial has ended: the search hears of it, and the account. A bug of ours is raised."""
        future.result()
        trial.ended = datetime.now(timezone.utc)
        self._log(trial.words())
        self._record()
        failed = trial.status == "Failed"
        self._search.tell(trial.number, None if failed else trial.value, ended_early=trial.status == "Stopped")

    def _conclude(self) -> None:
        if self._stop.is_set():
            raise StepFailed(f"tuning job {self._name} was stopped")
        completed = [trial for trial in self._trials if trial.status == "Completed"]
        if not completed:
            reasons = [trial.failure_reason for trial in self._trials if trial.failure_reason]
            last = f"; the last: {reasons[-1]}" if reasons else ""
            raise StepFailed(f"none of the {len(self._trials)} training jobs was completed{last}")
        if all(trial.value is None for trial in completed):
            raise StepFailed(
                f"no training job printed the objective {self._objective['MetricName']}: check MetricDefinitions"
            )

    def _record(self) -> None:
        listed = [trial.as_listed(self._name, self._objective) for trial in self._trials]
        self._tools.account.tuning_states.set_trials(self._name, listed)

    def _log(self, line: str) -> None:
        log = self._tools.log(self._step)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
