"""`tunesmith keys`: API keys of the endpoint, and the trail of who did what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tunesmith.cli.output import print_json

if TYPE_CHECKING:
    from tunesmith.keys.keyring import Keyring

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="keys")
def command() -> None:
    """Make, list and revoke API keys of `tunesmith serve`.

    \b
    Example:
      tunesmith keys create web-shop --requests-per-minute 600
      tunesmith keys revoke k7m2w9xq
    """


@command.command()
@click.argument("tenant")
@click.option(
    "--scope", "scopes", multiple=True, help="infer, feedback, review or admin; repeatable.  [default: infer, feedback]"
)
@click.option("--requests-per-minute", type=click.IntRange(min=1), help="Requests a minute; no limit if left out.")
@click.option("--tokens-per-minute", type=click.IntRange(min=1), help="Tokens of answers a minute.")
@click.option("--by", "who", help="Who makes it; the user of this machine if left out.")
@as_json
def create(
    tenant: str,
    scopes: tuple[str, ...],
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    who: str | None,
    as_json: bool,
) -> None:
    """Make a key for TENANT and print it, once: only its hash is kept.

    \b
    Example:
      tunesmith keys create web-shop --scope infer
    """
    from tunesmith.cli.registry import user

    key, secret = _keyring(create=True).create(
        tenant, scopes or ("infer", "feedback"), who or user(), requests_per_minute, tokens_per_minute
    )
    if as_json:
        print_json({**key.to_json(), "secret": secret})
        return
    click.echo(secret)
    click.echo(f"key {key.id} of {key.tenant} for {', '.join(key.scopes)}; it is shown this once", err=True)


@command.command("ls")
@as_json
def list_(as_json: bool) -> None:
    """List every key, revoked ones too.

    \b
    Example:
      tunesmith keys ls --json
    """
    from tunesmith.cli.registry import print_table
    from tunesmith.store.database import NoDatabase

    try:
        keys = _keyring(create=False).every()
    except NoDatabase as nothing:
        keys = []
        click.echo(f"no keys: {nothing}", err=True)
    if as_json:
        print_json([key.to_json() for key in keys])
        return
    print_table(
        ("key", "tenant", "scopes", "requests/min", "tokens/min", "created (UTC)", "by", "revoked (UTC)"),
        [
            (
                key.id,
                key.tenant,
                ", ".join(key.scopes),
                str(key.requests_per_minute or "-"),
                str(key.tokens_per_minute or "-"),
                key.created_at.strftime("%Y-%m-%d %H:%M"),
                key.created_by,
                key.revoked_at.strftime("%Y-%m-%d %H:%M") if key.revoked_at else "",
            )
            for key in keys
        ],
    )


@command.command()
@click.argument("key")
@click.option("--by", "who", help="Who revokes it; the user of this machine if left out.")
@as_json
def revoke(key: str, who: str | None, as_json: bool) -> None:
    """End KEY (its id, as `ls` shows it), for good. Endpoints that run know it within two seconds.

    \b
    Example:
      tunesmith keys revoke k7m2w9xq
    """
    from tunesmith.cli.registry import user

    ended = _keyring(create=False).revoke(key, who or user())
    if as_json:
        print_json(ended.to_json())
        return
    click.echo(f"key {ended.id} of {ended.tenant} is revoked")


@command.command()
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Actions to show.")
@as_json
def trail(limit: int, as_json: bool) -> None:
    """Show who did what, newest first.

    \b
    Example:
      tunesmith keys trail --limit 20
    """
    import json

    from tunesmith.cli.registry import print_table

    actions = _keyring(create=False).trail(limit)
    if as_json:
        print_json(actions)
        return
    print_table(
        ("when (UTC)", "who", "action", "what", "details"),
        [(one["at"][:19], one["who"], one["action"], one["subject"], json.dumps(one["details"])) for one in actions],
    )


def _keyring(create: bool) -> Keyring:
    from tunesmith.keys.keyring import Keyring
    from tunesmith.store.database import Database
    from tunesmith.store.home import find_home

    return Keyring(Database.open(find_home().database_url, create=create))
