"""The search of a tuning job: which hyperparameters to try next, and which training jobs to end early; by Optuna."""

from __future__ import annotations

import itertools
import math
import random
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from local.errors import LocalRunError
from local.executor.search_space import Dimension, search_space
from local.executor.trials import EarlierTrial, Proposal

optuna.logging.set_verbosity(optuna.logging.WARNING)  # the step's log has the trials

# Before it may end a job early, the median rule wants so many complete jobs, and so many epochs of the job.
_MEDIAN_JOBS: Final = 3
_MEDIAN_EPOCHS: Final = 1
_HYPERBAND_REDUCTION: Final = 3  # the fraction of jobs that go on to the next rung, one in three


class Search:
    """Proposes, hears of values as they come, and of the end of each trial; may be used from several threads.

    Equal configurations, seeds, and orders of `propose` and `tell` give equal proposals.
    """

    def __init__(
        self, config: Mapping[str, Any], *, seed: int, epochs: int | None, earlier: Sequence[EarlierTrial] = ()
    ) -> None:
        self._space = search_space(config["ParameterRanges"])
        self._maximize = config["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
        self._strategy = config["Strategy"]
        self._pruner = _pruner(config, epochs)
        self._limit = self._number_of_jobs(config)
        self._study = self._new_study(_sampler(self._strategy, self._limit, seed), self._pruner)
        self._trials: dict[int, optuna.Trial] = {}
        self._judges: dict[int, optuna.Study] = {}
        self._heard: dict[int, dict[int, float]] = {}
        self._lock = threading.Lock()
        self.known = self._remember(earlier)
        if self._strategy == "Grid":
            self._enqueue_grid(seed)

    @property
    def limit(self) -> int:
        """The number of trials to be proposed."""
        return self._limit

    @property
    def ends_jobs_by_rank(self) -> bool:
        """Whether jobs are compared while they run, so that the time at which one is heard of matters anyway."""
        return isinstance(self._pruner, HyperbandPruner)

    def propose(self) -> Proposal:
        """The next trial."""
        with self._lock:
            trial = self._study.ask({name: dimension.distribution for name, dimension in self._space.items()})
            number = len(self._trials)
            self._trials[number], self._heard[number] = trial, {}
            self._judges[number] = self._study if self.ends_jobs_by_rank else self._frozen()
            wire = {name: dimension.wire(trial.params[name]) for name, dimension in self._space.items()}
            return Proposal(number=number, hyperparameters=wire)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Takes the objective of one epoch, and answers whether the trial should end now; an epoch counts once."""
        with self._lock:
            if epoch in self._heard[number]:
                return False
            self._heard[number][epoch] = value
            self._trials[number].report(value, epoch)
            frozen = self._study.get_trials(deepcopy=True)[self._trials[number].number]
            return self._pruner.prune(self._judges[number], frozen)

    def tell(self, number: int, value: float | None, *, ended_early: bool = False) -> None:
        """The end of a trial: the objective's value, None where it has failed to give one."""
        with self._lock:
            if value is None:
                self._study.tell(self._trials[number], state=TrialState.FAIL)
            elif ended_early:
                self._study.tell(self._trials[number], state=TrialState.PRUNED)
            else:
                self._study.tell(self._trials[number], value)

    def is_better(self, value: float, other: float) -> bool:
        """Whether one objective beats another."""
        return value > other if self._maximize else value < other

    def _number_of_jobs(self, config: Mapping[str, Any]) -> int:
        limit = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
        if self._strategy == "Grid":
            combinations = math.prod(len(_choices(dimension)) for dimension in self._space.values())
            if limit is not None and limit != combinations:
                raise LocalRunError(
                    f"tuning: Grid tries all {combinations} combinations: set MaxNumberOfTrainingJobs to "
                    f"{combinations} or leave it out, not {limit}"
                )
            return combinations
        if limit is None:
            raise LocalRunError(f"tuning: strategy {self._strategy} needs MaxNumberOfTrainingJobs")
        return int(limit)

    def _new_study(self, sampler: BaseSampler, pruner: BasePruner) -> optuna.Study:
        direction = StudyDirection.MAXIMIZE if self._maximize else StudyDirection.MINIMIZE
        # Hyperband deals trials out by the study's name, which would be random.
        return optuna.create_study(study_name="tuning", direction=direction, sampler=sampler, pruner=pruner)

    def _frozen(self) -> optuna.Study:
        """The trials that have ended by now: what is heard of later must not make equal runs unequal."""
        judge = self._new_study(RandomSampler(seed=0), self._pruner)
        judge.add_trials(self._study.get_trials(states=(TrialState.COMPLETE,)))
        return judge

    def _remember(self, earlier: Sequence[EarlierTrial]) -> int:
        """Adds the earlier trials that the ranges hold and returns how many these are."""
        known = 0
        for trial in earlier:
            values = {
                name: dimension.internal(trial.hyperparameters.get(name, "")) for name, dimension in self._space.items()
            }
            if None in values.values():
                continue
            distributions = {name: dimension.distribution for name, dimension in self._space.items()}
            self._study.add_trial(
                optuna.trial.create_trial(params=values, distributions=distributions, value=trial.value)
            )
            known += 1
        return known

    def _enqueue_grid(self, seed: int) -> None:
        """All combinations, in an order that depends on the seed alone."""
        combinations = list(itertools.product(*(_choices(dimension) for dimension in self._space.values())))
        random.Random(seed).shuffle(combinations)
        for combination in combinations:
            self._study.enqueue_trial(dict(zip(self._space, combination, strict=True)))


def _choices(dimension: Dimension) -> Sequence[Any]:
    if not isinstance(dimension.distribution, CategoricalDistribution):
        raise LocalRunError(
            f"tuning: Grid takes categorical ranges only, and {dimension.name} is {dimension.kind.lower()}: "
            "list its values, or take another strategy"
        )
    return dimension.distribution.choices


def _sampler(strategy: str, jobs: int, seed: int) -> BaseSampler:
    if strategy == "Bayesian":
        # Of few jobs the default of ten random ones first would be all.
        return TPESampler(seed=seed, n_startup_trials=min(10, max(3, jobs // 4)))
    return RandomSampler(seed=seed)


def _pruner(config: Mapping[str, Any], epochs: int | None) -> BasePruner:
    """What ends training jobs early. Hyperband: https://arxiv.org/abs/1603.06560, with an epoch as the resource."""
    early_stopping = config.get("TrainingJobEarlyStoppingType", "Off")
    if config["Strategy"] != "Hyperband":
        return (
            MedianPruner(n_startup_trials=_MEDIAN_JOBS, n_warmup_steps=_MEDIAN_EPOCHS)
            if early_stopping == "Auto"
            else NopPruner()
        )
    if early_stopping != "Off":
        raise LocalRunError("tuning: Hyperband ends training jobs itself: set TrainingJobEarlyStoppingType to Off")
    resource = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
    most = resource.get("MaxResource", epochs)
    if most is None:
        raise LocalRunError("tuning: Hyperband needs MaxResource, or the hyperparameter epochs, as the most per job")
    least = resource.get("MinResource", 1)
    if least > most:
        raise LocalRunError(f"tuning: Hyperband: MinResource {least} is above MaxResource {most}")
    return HyperbandPruner(min_resource=least, max_resource=most, reduction_factor=_HYPERBAND_REDUCTION)
