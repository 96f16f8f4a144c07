"""What to type to check a server of an export, and to ask it for scores."""

import shlex

from zelo.export.engines import Request, Written
from zelo.export.probes import PROBES

__all__ = ["check_command", "client_code"]


def check_command(request: Request, written: Written, probes: bool) -> str:
    """Return the command that tells whether a server gives the export's scores.

    A library is called, not served, so there is none for it.
    """
    serving = written.serving
    if serving is None:
        return ""
    words = ["zelo", "doctor", "--base-url", serving.url, "--dialect", serving.dialect]
    words += ["--model", request.name, "--family", request.source.family.name]
    if written.scale != "probability":
        words += ["--score-scale", written.scale]
    if probes:
        words += ["--known", str(request.folder / PROBES)]
    return shlex.join(words)


def client_code(request: Request, written: Written) -> str:
    """Return the line of Python that makes a client, which has to be told what the scores are."""
    serving = written.serving
    if serving is None:
        return ""
    told = {
        "base_url": serving.url,
        "dialect": serving.dialect,
        "score_scale": written.scale,
        "family": request.source.family.name,
    }
    options = ", ".join(f"{name}={value!r}" for name, value in told.items())
    return f"Reranker({request.name!r}, {options})"
