"""A whole run of zELO from one configuration: `zelo train run`.

Stages are the functions behind the other commands of `zelo train`, with the same files between
them; what is done stays done as long as its inputs and settings do.
"""

from zelo.training.pipeline.config import read_config
from zelo.training.pipeline.reference import reference
from zelo.training.pipeline.running import Planned, plan, run
from zelo.training.pipeline.tables import Config

__all__ = ["Config", "Planned", "plan", "read_config", "reference", "run"]
