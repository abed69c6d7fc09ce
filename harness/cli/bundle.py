"""``harness bundle``: pack a results folder into one file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("bundle")
@click.argument("directory", metavar="DIR/NAME", type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.zip",
    help="The new archive; NAME.zip by default.",
)
def command(directory: Path, to: Path | None) -> int:
    """Pack a results folder into one file, to be published or kept.

    In it are the plan with the suite, records, test predictions, splits, logs, the report, and
    versions of all that is installed; no data, no models. The same results give the same bytes.
    Records and logs name this machine and its paths. 'harness reproduce FILE.zip' runs it again.

    \b
    Examples:
      harness bundle results/quickstart
      harness bundle results/mine --to supplement.zip
    """
    from harness.record.store import Store
    from harness.report.format import size
    from harness.share.bundle import bundle

    store = Store(directory)
    known = store.planned()
    to = to or Path(f"{store.plan().suite}.zip")
    bundle(store, to)
    ended = sum(record is not None for _, record in known)
    told = "" if (directory / "report/index.html").is_file() else ", without a report"
    click.echo(
        f"harness: {ended} of {len(known)} cells have ended{told}: {size(to.stat().st_size)}",
        err=True,
    )
    click.echo(to)
    return 0
