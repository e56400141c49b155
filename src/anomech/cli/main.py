"""The `anomech` command."""

from __future__ import annotations

import signal
import sys
import traceback
from typing import Any, NoReturn

import torch
import typer
from rich.markup import escape
from typer.core import TyperGroup

from anomech.cli import audit, bench, demo, diff, doctor, fingerprint, fit, geometry, organisms, run, score
from anomech.cli.console import FAILED, INTERRUPTED, messages, show_log
from anomech.errors import AnomechError


class Commands(TyperGroup):
    """The commands, which do not end in silence when interrupted, as Typer's would."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            messages.print("Interrupted. Nothing half-written was left; the same command starts again.")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Did the model get its output by a mechanism that trusted examples explain?",
    epilog="Exit status: 0 nothing flagged beyond the accepted rate, 1 anomalies found, 2 an error.",
)
app.command("demo")(demo.command)
app.command("audit")(audit.command)
app.command("fit")(fit.command)
app.command("score")(score.command)
app.command("run")(run.command)
app.command("diff")(diff.command)
app.command("geometry")(geometry.command)
app.command("fingerprint")(fingerprint.command)
app.command("doctor")(doctor.command)
app.add_typer(organisms.app, name="organisms")
app.command("bench")(bench.command)


def main() -> None:
    """Run a command; failures end in one clear sentence."""
    show_log()
    # A polite request to stop ends as Ctrl-C does: nothing half-written, no temporary files.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except AnomechError as error:
        _fail(str(error))
    except torch.OutOfMemoryError:
        _fail("the device is out of memory; take a smaller --batch-size, or --device cpu.")
    except OSError as error:
        _fail(f"{error.strerror or error} ({error.filename or 'no file'}).")
    except Exception:  # a bug; Python's own status for it, 1, would say that anomalies were found
        traceback.print_exc()
        sys.exit(FAILED)


def _fail(sentence: str) -> NoReturn:
    messages.print(f"[bold red]Error:[/bold red] {escape(sentence)}", highlight=False, soft_wrap=True)
    sys.exit(FAILED)
