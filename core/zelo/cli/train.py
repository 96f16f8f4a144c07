"""`zelo train`: the stages of zELO, from queries and documents to a trained reranker.

Each reads JSON Lines and writes JSON Lines, so a stage can be looked at, replaced or run elsewhere.
"""

import typer

from zelo.cli.train_across import EPILOG as ACROSS_EXAMPLES
from zelo.cli.train_across import across
from zelo.cli.train_calibrate import EPILOG as CALIBRATE_EXAMPLES
from zelo.cli.train_calibrate import calibrate
from zelo.cli.train_candidates import EPILOG as CANDIDATES_EXAMPLES
from zelo.cli.train_candidates import candidates
from zelo.cli.train_distill import EPILOG as DISTILL_EXAMPLES
from zelo.cli.train_distill import distill
from zelo.cli.train_fit import EPILOG as FIT_EXAMPLES
from zelo.cli.train_fit import fit
from zelo.cli.train_judge import EPILOG as JUDGE_EXAMPLES
from zelo.cli.train_judge import judge
from zelo.cli.train_pairs import EPILOG as PAIRS_EXAMPLES
from zelo.cli.train_pairs import pairs
from zelo.cli.train_pointwise import EPILOG as POINTWISE_EXAMPLES
from zelo.cli.train_pointwise import pointwise
from zelo.cli.train_refine import EPILOG as REFINE_EXAMPLES
from zelo.cli.train_refine import refine
from zelo.cli.train_run import EPILOG as RUN_EXAMPLES
from zelo.cli.train_run import run

__all__ = ["train_commands"]

train_commands = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Train a reranker by zELO: all of it by `run`, or stage by stage.",
)
train_commands.command(epilog=RUN_EXAMPLES)(run)
train_commands.command(epilog=CANDIDATES_EXAMPLES)(candidates)
train_commands.command(epilog=PAIRS_EXAMPLES)(pairs)
train_commands.command(epilog=JUDGE_EXAMPLES)(judge)
train_commands.command(epilog=DISTILL_EXAMPLES)(distill)
train_commands.command(epilog=FIT_EXAMPLES)(fit)
train_commands.command(epilog=ACROSS_EXAMPLES)(across)
train_commands.command(epilog=CALIBRATE_EXAMPLES)(calibrate)
train_commands.command(epilog=POINTWISE_EXAMPLES)(pointwise)
train_commands.command(epilog=REFINE_EXAMPLES)(refine)
