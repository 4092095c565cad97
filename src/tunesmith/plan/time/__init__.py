"""How long a run takes: work counted from shapes, seconds by rates that are measured here or assumed."""

from tunesmith.plan.time.efficiency import Efficiency, load_efficiency, save_efficiency
from tunesmith.plan.time.forecast import TimeForecast, forecast_time
from tunesmith.plan.time.rates import Rates, hardware_key
from tunesmith.plan.time.workload import Part, Workload, guess_workload, workload_of

__all__ = [
    "Efficiency",
    "Part",
    "Rates",
    "TimeForecast",
    "Workload",
    "forecast_time",
    "guess_workload",
    "hardware_key",
    "load_efficiency",
    "save_efficiency",
    "workload_of",
]
