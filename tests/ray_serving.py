"""A Ray cluster with `examples/ray_serve.py`, in a process tree of its own, on the loopback.

The child is this file, run as a script: it starts the cluster, and does what the parent writes to
it, a line of JSON each. Its warnings are Ray's, and none of them reaches a test's process.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "examples"
OBJECTS = 80 * 2**20  # bytes, about the least that Ray takes
LONGEST_END_S = 60.0
BUSY_MACHINE = {
    "OMP_NUM_THREADS": "1",
    "RAY_worker_niceness": "0",  # not 15, or whatever else runs here starves the workers
    "RAY_raylet_start_wait_time_s": "240",  # not 30: a busy machine takes longer
}
ENVIRONMENT = BUSY_MACHINE | {
    "PYTHONPATH": str(EXAMPLES),
    "RAY_AUTH_MODE": "token",  # other clusters of this machine are none of ours
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",  # not 10, to wait less
}


class Cluster:
    """A cluster of this machine, gone with the block."""

    def __init__(self, **options: object) -> None:
        # short: Ray's sockets lie below, and a socket's path has at most 107 characters
        self._folder = tempfile.mkdtemp(prefix="zelo-ray-", dir="/tmp")
        self._log = open(f"{self._folder}/driver.log", "w+", encoding="utf-8")
        port = _free_port()
        self.address = f"http://127.0.0.1:{port}"
        self._child = subprocess.Popen(
            [sys.executable, __file__, f"{self._folder}/ray", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=os.environ | ENVIRONMENT | {"RAY_AUTH_TOKEN": secrets.token_hex(16)},
            start_new_session=True,
        )
        self._options = options

    def __enter__(self) -> "Cluster":
        try:
            self.run()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Shut everything down; what does not end in time is killed."""
        with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
            self._child.communicate(timeout=LONGEST_END_S)  # the end of its input is its end
        with contextlib.suppress(ProcessLookupError):  # also what outlived its parent
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._log):
            assert stream is not None
            stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, **changes: object) -> None:
        """Deploy the application, or update it to other options; return when that is done."""
        self._options |= changes
        self._ask({"run": self._options})

    def replicas(self) -> set[int]:
        """Return the replicas' process ids, as each tells its own."""
        return set(self._ask({"replicas": True}))

    def _ask(self, command: dict[str, Any]) -> Any:
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(command) + "\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            self._log.seek(0)
            raise AssertionError(f"the cluster ended: {self._log.read()[-4000:]}")
        return json.loads(answer)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _serve(folder: str, port: int) -> None:
    import ray
    from ray import serve
    from ray_serve import Options, build

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else is printed
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=OBJECTS,
        log_to_driver=False,
        _temp_dir=folder,
        _node_ip_address="127.0.0.1",
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    for line in sys.stdin:
        command = json.loads(line)
        if "run" in command:
            serve.run(build(Options(**command["run"])))
        answers.write(json.dumps(_pids(ray)) + "\n")
    serve.shutdown()
    ray.shutdown()


def _pids(ray: Any) -> list[int]:
    """Return the process ids of the replicas that answer; one may be dying."""
    found = []
    for actor in ray.util.list_named_actors(all_namespaces=True):
        if actor["name"].startswith("SERVE_REPLICA::"):
            with contextlib.suppress(ValueError, ray.exceptions.RayError):
                handle = ray.get_actor(**actor)
                found.append(ray.get(handle.__ray_call__.remote(lambda _: os.getpid()), timeout=5))
    return found


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
