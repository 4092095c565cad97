"""The same configuration with several seeds: which is trained next, and which configuration is best on the mean."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from statistics import mean

from tunesmith.sweep.record import Trial
from tunesmith.sweep.space import Config, key

SEED = "train.seed"


@dataclass(frozen=True)
class Seeds:
    """So many seeds, the recipe's own the `first` of them. With one, a seed in the space is a setting like others."""

    number: int
    first: int

    def plain(self, config: Config) -> Config:
        """What the searcher knows of a configuration: all but the seed that this class has set."""
        return config if self.number == 1 else {name: value for name, value in config.items() if name != SEED}

    def missing(self, trials: Collection[Trial]) -> Iterator[tuple[Config, Config]]:
        """Configurations that came to their end with fewer seeds than are wanted: without and with their next one."""
        begun = [key(self.plain(trial.config)) for trial in trials]
        for whole in self._whole(trials):
            plain = self.plain(whole[0].config)
            tried = begun.count(key(plain))
            if tried < self.number:
                yield plain, {**plain, SEED: self.first + tried}

    def best(self, trials: Collection[Trial], worth: Callable[[Trial], float]) -> Trial | None:
        """Of the configuration with the least worth on the mean, the trial with the least.

        Those that came to their end with fewer seeds than others are out.
        """
        whole = self._whole(trials)
        most = max(map(len, whole), default=0)
        full = [group for group in whole if len(group) == most]
        group = min(full, key=lambda group: mean(map(worth, group)), default=[])
        return min(group, key=worth, default=None)

    def _whole(self, trials: Collection[Trial]) -> list[list[Trial]]:
        groups: dict[str, list[Trial]] = {}
        for trial in trials:
            if trial.status == "whole" and trial.best:
                groups.setdefault(key(self.plain(trial.config)), []).append(trial)
        return list(groups.values())
