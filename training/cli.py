"""``cxr-train``: from labelled films to a bundle, by a recipe. Joins the commands and turns their errors into one line.

torch is imported by the commands that need it, so that ``--help`` answers where the extra ``train`` is not installed.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

import typer

from training.data_commands import data_app
from training.errors import LeaderFailed, TrainingError
from training.learning_commands import learning_app
from training.reports.commands import reports_app
from training.run_commands import run_app
from training.series_commands import series_app

_HELP = "From labelled films to a bundle, by a recipe."

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=_HELP)
app.add_typer(run_app)
app.add_typer(series_app)
app.add_typer(data_app, name="data")
app.add_typer(learning_app)
app.add_typer(reports_app, name="reports")


class _Interrupted(BaseException):
    """Ctrl-C; not a KeyboardInterrupt, because typer would make an exit code of 1 of it."""


def main() -> None:
    """Entry point. Our own errors are one line on standard error and exit code 2; Ctrl-C is one line and 130.

    Of several processes that torchrun started, each says so with its number; one that was sent home says nothing.
    """
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except LeaderFailed:
        sys.exit(0)
    except TrainingError as error:
        _leave(str(error), 2)
    except ModuleNotFoundError as error:
        _leave(f"needs {error.name}; install the extra: pip install 'cxr-triage[train,cpu]'", 2)
    except _Interrupted:
        _leave("interrupted; finished steps and checkpoints are kept, the same command goes on from them", 130)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise _Interrupted


def _leave(message: str, code: int) -> NoReturn:
    # As torchrun tells its processes; torch itself may be missing here.
    place = f"rank {os.environ['RANK']}: " if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
    print(f"cxr-train: {place}{message}", file=sys.stderr)
    sys.exit(code)
