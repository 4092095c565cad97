"""What parity checks said, in SQL; and the one that sees to those that are still to be made."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime

from sqlalchemy import delete, func, insert, select

from tunesmith.serve.catalogue import Checks
from tunesmith.serve.parity import Parity, Proof
from tunesmith.serve.spec import EngineSpec
from tunesmith.store.database import Database
from tunesmith.store.tables import parity

LOCK = "parity"
log = logging.getLogger(__name__)


def keep(database: Database, version: str, spec: EngineSpec, found: Parity) -> None:
    """Write a check down, in the place of an older one."""
    with database.writing(LOCK) as connection:
        connection.execute(delete(parity).where(parity.c.version == version, parity.c.engine == spec.kind))
        connection.execute(
            insert(parity).values(
                version=version, engine=spec.kind, passed=found.passed, reason=found.reason,
                evidence=found.to_json(), at=datetime.now(UTC),
            )
        )  # fmt: skip


def read_checks(database: Database) -> Checks:
    """Every check."""
    with database.reading() as connection:
        rows = connection.execute(select(parity.c.version, parity.c.engine, parity.c.passed, parity.c.reason))
        return {(version, engine): (passed, reason) for version, engine, passed, reason in rows}


def read_proofs(database: Database, version: str, spec: EngineSpec) -> tuple[Proof, ...]:
    """What a version's check has compared; none where it has not been made."""
    with database.reading() as connection:
        found = connection.execute(
            select(parity.c.evidence).where(parity.c.version == version, parity.c.engine == spec.kind)
        ).scalar()
    return tuple(Proof(**one) for one in (found or {}).get("proofs", ()))


def state_of(database: Database) -> tuple[int, str]:
    """Changes whenever a check is written down."""
    with database.reading() as connection:
        number, last = connection.execute(select(func.count(parity.c.version), func.max(parity.c.at))).one()
        return int(number), str(last)


async def run_checks(address: str, spec: EngineSpec, versions: list[str]) -> None:
    """Compare versions, in a process of its own. What cannot be compared is logged, and tried again later."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tunesmith.serve.parity", address, spec.model_dump_json(), *versions,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    for line in out.decode().splitlines():
        if line.startswith("{"):
            found = json.loads(line)
            log.warning(
                "%s %s: %s", found["version"], "agrees" if found["passed"] else "is not served", found["reason"]
            )
    if process.returncode:
        last = err.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        log.warning("of %s not all could be compared with the trainer's model: %s", ", ".join(versions), last[0][:300])
