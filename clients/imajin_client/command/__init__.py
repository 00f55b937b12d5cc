"""The `imajin` command: one module a subcommand."""

from __future__ import annotations

from typing import Annotated

import typer

from imajin_client.addresses import SERVERS
from imajin_client.command import (
    demo,
    derivatives,
    describe,
    doctor,
    edit,
    generate,
    jobs,
    models,
    process,
    running,
    sizes,
    up,
    verify,
    vram,
)

app = typer.Typer(
    name="imajin",
    help="Describe a picture, get prompts, get it in every size that a page needs.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 ok, 1 the suite answered with an error, 2 usage, 3 a server can't be reached, 130 interrupted.",
)


@app.callback()
def everywhere(
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERVER=HOST:PORT",
            help=f"Where a server is ({', '.join(SERVERS)}); repeat it. Else IMAJIN_<SERVER>_ADDRESS, imajin.toml, loopback.",
        ),
    ] = None,
) -> None:
    """Options of every subcommand."""
    running.use_addresses(at or [])


app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("describe")(describe.describe)
app.command("generate")(generate.generate)
app.command("edit")(edit.edit)
app.command("sizes")(sizes.sizes)
app.command("process")(process.process)
app.command("derivatives")(derivatives.derivatives)
app.command("verify")(verify.verify)
app.command("models")(models.models)
app.command("doctor")(doctor.doctor)
app.add_typer(jobs.app, name="jobs")
app.add_typer(vram.app, name="vram")


def main() -> None:
    """Entry point of the `imajin` command."""
    app()
