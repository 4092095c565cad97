"""Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), fed through its ask-and-tell interface."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tunesmith.sweep.searchers.base import Forecast, Searcher
from tunesmith.sweep.searchers.tried import Tried
from tunesmith.sweep.space import Config, key

if TYPE_CHECKING:
    import optuna

ASKS = 25
"""As often it is asked for something new that fits before the nearest draw that fits is taken."""


class TpeSearcher(Searcher):
    """Draws where good trials were dense; running trials count as bad ones, so that neighbours spread."""

    def _choose(self, remaining_usd: Decimal, forecast: Forecast, first: Forecast) -> Config | None:
        known = {key(tried.config) for tried in self.tried.values()}
        study = self._study()
        for _ in range(ASKS):
            trial = study.ask()
            config = self._ask(trial)
            if key(config) not in known and forecast(config) <= remaining_usd:
                return config
        return next((config for config in self._draws(self._rng()) if forecast(config) <= remaining_usd), None)

    def _study(self) -> optuna.Study:
        """A study in memory of all that was tried: Optuna keeps nothing of its own that could be lost."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(
            seed=self._rng().getrandbits(31), n_startup_trials=min(5, self.trials // 3 + 1), constant_liar=True
        )
        study = optuna.create_study(sampler=sampler, direction="minimize")
        for tried in self.tried.values():
            study.add_trial(self._told(tried))
        return study

    def _ask(self, trial: optuna.Trial) -> Config:
        config: Config = {}
        for name in self.space.dimensions:
            if self.space.active(name, config):
                config[name] = self._suggested(trial, name)
        return config

    def _suggested(self, trial: optuna.Trial, name: str) -> Any:
        dimension = self.space.dimensions[name]
        if dimension.type == "choice":
            return dimension.choice[trial.suggest_categorical(name, range(len(dimension.choice)))]
        low, high = float(dimension.low or 0.0), float(dimension.high or 0.0)
        if dimension.type == "randint":
            return trial.suggest_int(name, int(low), int(high))
        return float(f"{trial.suggest_float(name, low, high, log=dimension.type == 'loguniform'):.4g}")

    def _distribution(self, name: str) -> optuna.distributions.BaseDistribution:
        """Lists are asked for by position, for Optuna takes only plain values for choices."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        dimension = self.space.dimensions[name]
        if dimension.type == "choice":
            return CategoricalDistribution(range(len(dimension.choice)))
        low, high = float(dimension.low or 0.0), float(dimension.high or 0.0)
        if dimension.type == "randint":
            return IntDistribution(int(low), int(high))
        return FloatDistribution(low, high, log=dimension.type == "loguniform")

    def _told(self, tried: Tried) -> optuna.trial.FrozenTrial:
        """A trial that was stopped early is one that Optuna's own pruner stopped, at its share of the training."""
        import optuna
        from optuna.trial import TrialState

        choices = {name: self.space.dimensions[name].choice for name in tried.config}
        parameters = {
            name: choices[name].index(value) if choices[name] else value for name, value in tried.config.items()
        }
        whole = tried.reports and tried.reports[-1][2] >= 1
        state = TrialState.RUNNING
        if tried.ended:
            state = TrialState.COMPLETE if whole else TrialState.PRUNED if tried.reports else TrialState.FAIL
        return optuna.create_trial(
            state=state,
            value=tried.loss if state in (TrialState.COMPLETE, TrialState.PRUNED) else None,
            params=parameters,
            distributions={name: self._distribution(name) for name in tried.config},
            intermediate_values={round(share * 1000): loss for loss, _, share in tried.reports},
        )
