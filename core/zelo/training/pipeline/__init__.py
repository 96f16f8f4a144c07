"""A whole run of zELO from one configuration: `zelo train run`.

Stages are the functions behind the other commands of `zelo train`, with the same files between
them; what is done stays done as long as its inputs and settings do. Importing it raises
MissingExtraError where a package of the extra `train` is not installed.
"""

from zelo.training.pipeline.packages import check_packages

check_packages()  # before a module below imports one, and names an extra that is not enough

from zelo.training.pipeline.config import read_config  # noqa: E402
from zelo.training.pipeline.reference import reference  # noqa: E402
from zelo.training.pipeline.running import Plan, plan, run  # noqa: E402
from zelo.training.pipeline.tables import Config  # noqa: E402

__all__ = ["Config", "Plan", "plan", "read_config", "reference", "run"]
