"""One of several processes that carry out a training stage: `torchrun -m` of this module."""

import json
import pathlib
import sys

from zelo.training.pipeline.chain import Chain
from zelo.training.pipeline.launching import end_with_the_run, work
from zelo.training.pipeline.tables import Config

if __name__ == "__main__":
    end_with_the_run()
    job = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    chain = Chain(Config.model_validate(job["settings"]))
    (stage,) = (one for one in chain.stages if one.name == job["stage"])
    work(stage.run, chain.folder, pathlib.Path(job["answer"]))
