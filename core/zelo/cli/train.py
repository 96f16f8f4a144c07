"""`zelo train`: the stages of zELO, from queries and documents to what a reranker learns from.

Each reads JSON Lines and writes JSON Lines, so a stage can be looked at, replaced or run elsewhere.
"""

import typer

from zelo.cli.train_across import EPILOG as ACROSS_EXAMPLES
from zelo.cli.train_across import across
from zelo.cli.train_calibrate import EPILOG as CALIBRATE_EXAMPLES
from zelo.cli.train_calibrate import calibrate
from zelo.cli.train_candidates import EPILOG as CANDIDATES_EXAMPLES
from zelo.cli.train_candidates import candidates
from zelo.cli.train_fit import EPILOG as FIT_EXAMPLES
from zelo.cli.train_fit import fit
from zelo.cli.train_judge import EPILOG as JUDGE_EXAMPLES
from zelo.cli.train_judge import judge
from zelo.cli.train_pairs import EPILOG as PAIRS_EXAMPLES
from zelo.cli.train_pairs import pairs

__all__ = ["train_commands"]

train_commands = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Make training targets by zELO: candidates, pairs, judgements, ratings, calibration.",
)
train_commands.command(epilog=CANDIDATES_EXAMPLES)(candidates)
train_commands.command(epilog=PAIRS_EXAMPLES)(pairs)
train_commands.command(epilog=JUDGE_EXAMPLES)(judge)
train_commands.command(epilog=FIT_EXAMPLES)(fit)
train_commands.command(epilog=ACROSS_EXAMPLES)(across)
train_commands.command(epilog=CALIBRATE_EXAMPLES)(calibrate)
