"""Where things are kept: the project's home folder, the database URL, the artefact root."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

HOME_FOLDER = ".tunesmith"


@dataclass(frozen=True)
class Home:
    """Places of one project.

    `folder` holds caches, dataset versions and runs. `database_url` is any SQLAlchemy URL of SQLite or PostgreSQL;
    `artifacts` a local folder or an object-store URL such as `s3://bucket/prefix`.
    """

    folder: Path
    # Both may carry a password, and a dataclass prints itself into logs and tracebacks.
    database_url: str = field(repr=False)
    artifacts: str = field(repr=False)

    @property
    def runs(self) -> Path:
        """One folder for each run."""
        return self.folder / "runs"

    @property
    def datasets(self) -> Path:
        """One folder for each dataset version."""
        return self.folder / "datasets"

    @property
    def models(self) -> Path:
        """Base models that were converted or fetched."""
        return self.folder / "models"


def find_home(start: Path | None = None) -> Home:
    """Find the home as git finds a repository: `TUNESMITH_HOME`, else the nearest `.tunesmith` upwards, else one here.

    `TUNESMITH_DATABASE_URL` and `TUNESMITH_ARTIFACTS` put the registry and its files elsewhere. Nothing is created.
    """
    here = (start or Path.cwd()).resolve()
    if given := os.environ.get("TUNESMITH_HOME"):
        folder = Path(given).expanduser().resolve()
    else:
        candidates = [parent / HOME_FOLDER for parent in (here, *here.parents)]
        folder = next((path for path in candidates if path.is_dir()), here / HOME_FOLDER)
    return Home(
        folder=folder,
        database_url=os.environ.get("TUNESMITH_DATABASE_URL") or f"sqlite:///{folder / 'registry.db'}",
        artifacts=os.environ.get("TUNESMITH_ARTIFACTS") or str(folder / "artifacts"),
    )
