"""`tunesmith review serve`: the page, until Ctrl-C."""

from __future__ import annotations

import click

from tunesmith.cli.output import print_json

PACKAGES = ("fastapi", "jinja2", "uvicorn")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8100, show_default=True, help="Port to listen on.")
@click.option("--root-path", default="", help="Path before which a proxy stands, /review say.")
@click.option("--json", "as_json", is_flag=True, help="Print where it is as JSON, one line when it is up.")
def serve(host: str, port: int, root_path: str, as_json: bool) -> None:
    """Serve the page on which people judge. Each of them logs in with an API key of the scope `review`.

    \b
    Example:
      tunesmith keys create ann --scope review
      tunesmith review serve
    """
    import signal
    import socket

    from tunesmith.cli.review_packages import need
    from tunesmith.errors import TunesmithError

    need(PACKAGES, "the page")
    import uvicorn

    from tunesmith.keys.keyring import Keyring
    from tunesmith.review.page.app import build_review_app
    from tunesmith.review.page.secret import signing_secret
    from tunesmith.store.database import Database
    from tunesmith.store.home import find_home

    home = find_home()
    database, secret = Database.open(home.database_url), signing_secret(home.folder)
    if not any("review" in key.scopes and key.revoked_at is None for key in Keyring(database).every()):
        click.echo("no key may review yet: tunesmith keys create NAME --scope review", err=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen()
        except OSError as error:
            raise TunesmithError(
                f"cannot listen there: {error.strerror}", where=f"{host}:{port}", fix="choose another --port"
            ) from None
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{port}{root_path}"
        config = uvicorn.Config(
            build_review_app(database, secret), root_path=root_path, log_level="warning", timeout_graceful_shutdown=5
        )
        if as_json:
            print_json({"address": address}, indent=None)
        else:
            click.echo(f"ready: {address}/ (Ctrl-C ends it)", err=True)
        if host not in ("127.0.0.1", "::1", "localhost"):
            click.echo("keys travel in the clear: put a proxy with TLS before it", err=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn ends the server itself, and then raises the signal once more for whoever had it before.
            signal.signal(number, lambda *_: None)
        uvicorn.Server(config).run(sockets=[listening])
