"""Speed and memory of zelo against its peers, on the same weights in the same run."""

from zelo.bench.models import SHAPES, Shape, shape_named
from zelo.bench.results import Comparison, Memory, Report, WorkloadResult
from zelo.bench.run import Settings, run_bench
from zelo.bench.workloads import LogNormal, Workload, log_normal_workload

__all__ = [
    "SHAPES",
    "Comparison",
    "LogNormal",
    "Memory",
    "Report",
    "Settings",
    "Shape",
    "Workload",
    "WorkloadResult",
    "log_normal_workload",
    "run_bench",
    "shape_named",
]
