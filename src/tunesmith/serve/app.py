"""Engine and gateway for Serve config files: `import_path: tunesmith.serve.app:engine` and `...:gateway`.

Both take the same arguments: `recipe`, a path that the cluster sees, and `set`, fields of it to change. Where there are
several engines (`tunesmith serve --dry-run --json` lists them), one that is not the first is named as `engine`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.serve.plan import Plan, plan_serving
from tunesmith.serve.spec import ServeError
from tunesmith.store.home import find_home


def engine(args: dict[str, Any]) -> Any:
    """An engine of a recipe, to be given the route `/engines/NAME`: the first one's is `/engines/base`."""
    from tunesmith.serve.engine import engine_application

    engines = {one.name: one for one in planned(args).engines}
    if (name := args.get("engine", next(iter(engines)))) not in engines:
        raise ServeError(f"there is no engine '{name}'", where="args.engine", fix=f"one of {', '.join(engines)}")
    return engine_application(engines[name])


def gateway(args: dict[str, Any]) -> Any:
    """The gateway of a recipe, to be given the route `/`."""
    from tunesmith.serve.gateway import gateway_application

    return gateway_application(planned(args).gateway)


def planned(args: dict[str, Any]) -> Plan:
    """What the arguments of a config file ask for. Raises ServeError for others than there are."""
    from tunesmith.recipe.load import load_recipe
    from tunesmith.recipe.serve import ServeSection

    if unknown := sorted(set(args) - {"recipe", "set", "engine"}):
        raise ServeError(
            f"'{unknown[0]}' is no argument of this application", where="args", fix="give recipe, set and engine"
        )
    if not isinstance(args.get("recipe"), str):
        raise ServeError("the recipe is missing", where="args.recipe", fix="name a recipe that every node sees")
    path = Path(args["recipe"])
    recipe = load_recipe(path, tuple(args.get("set", ()))).recipe
    traffic = recipe.monitor.traffic if recipe.monitor else None
    serving = recipe.serve or ServeSection()
    return plan_serving(recipe.name, recipe.model, serving, find_home(), path.resolve().parent, traffic)
