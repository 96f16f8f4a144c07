"""The command `zelo`. Importing it loads no model code, so that help comes at once.

Exit codes: 0 done; 1 the input's content, the model, the scoring or the output failed; 2 the
command was called wrongly; 130 interrupted; 141 the reader of the output went away, as for any
pipe. `doctor` has its own: 0 right, 1 wrong, 2 cannot tell.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import zelo
from zelo.cli.bench import bench_commands
from zelo.cli.demo import EPILOG as DEMO_EXAMPLES
from zelo.cli.demo import demo
from zelo.cli.doctor import EPILOG as DOCTOR_EXAMPLES
from zelo.cli.doctor import doctor
from zelo.cli.evaluate import evaluate_commands
from zelo.cli.export import EPILOG as EXPORT_EXAMPLES
from zelo.cli.export import export
from zelo.cli.plan import EPILOG as PLAN_EXAMPLES
from zelo.cli.plan import plan
from zelo.cli.process import INTERRUPTED, heed_interrupts, interrupted, sound_streams
from zelo.cli.render import note
from zelo.cli.rerank import EPILOG as RERANK_EXAMPLES
from zelo.cli.rerank import rerank
from zelo.cli.score import EPILOG as SCORE_EXAMPLES
from zelo.cli.score import score
from zelo.cli.serve import EPILOG as SERVE_EXAMPLES
from zelo.cli.serve import serve
from zelo.cli.train import train_commands
from zelo.errors import ZeloError

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """Turns what a subcommand raises into one line on stderr and an exit code."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line."""
        with sound_streams():
            try:
                return super().main(*args, **options)
            except (ZeloError, ImportError) as error:
                if isinstance(error, ImportError) and interrupted():
                    raise SystemExit(INTERRUPTED) from error
                if not isinstance(error, ZeloError):
                    raise
                notes = getattr(error, "__notes__", [])  # where it happened, in long work
                note("\n".join([f"error: {error}", *notes]))
                raise SystemExit(1) from error

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # pydantic's, not ours
            raise


app = typer.Typer(
    name="zelo",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Try it: zelo demo",
)
app.command(epilog=RERANK_EXAMPLES)(rerank)
app.command(epilog=DEMO_EXAMPLES)(demo)
app.command(epilog=SERVE_EXAMPLES)(serve)
app.command(epilog=DOCTOR_EXAMPLES)(doctor)
app.add_typer(evaluate_commands, name="evaluate")
app.add_typer(train_commands, name="train")
app.command(epilog=SCORE_EXAMPLES)(score)
app.command(epilog=PLAN_EXAMPLES)(plan)
app.command(epilog=EXPORT_EXAMPLES)(export)
app.add_typer(bench_commands, name="bench")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"zelo {zelo.__version__}")
        raise typer.Exit


@app.callback()
def zelo_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Rank documents by how well they answer a query, with ZeroEntropy's zerank rerankers."""


def main() -> None:
    """Run the command line of this process."""
    heed_interrupts()
    app(prog_name="zelo")
