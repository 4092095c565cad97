"""Every way to place a run, judged by memory, hours and dollars."""

from tunesmith.plan.search.judge import Judge
from tunesmith.plan.search.layout import METHODS, Settings, settings_of, with_settings
from tunesmith.plan.search.option import Held, Option, Refusal
from tunesmith.plan.search.ranking import Found, rank, search, workers_on
from tunesmith.plan.search.remedies import Remedy, remedies

__all__ = [
    "METHODS",
    "Found",
    "Held",
    "Judge",
    "Option",
    "Refusal",
    "Remedy",
    "Settings",
    "rank",
    "remedies",
    "search",
    "settings_of",
    "with_settings",
    "workers_on",
]
