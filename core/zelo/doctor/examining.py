"""From what a user says to a report: which endpoint, what it claims, what is known of that."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zelo.catalog import ModelSource, resolve
from zelo.checks import (
    at_least_zero,
    file_path,
    one_of,
    path_text,
    positive_seconds,
    text_or_none,
    true_or_false,
)
from zelo.doctor.claim import Claim
from zelo.doctor.diagnosis import diagnose
from zelo.doctor.endpoint import Endpoint, LocalEndpoint, RemoteEndpoint
from zelo.doctor.matching import compared
from zelo.doctor.pairs import Known, known_in, published
from zelo.doctor.probes import observe
from zelo.doctor.report import Report
from zelo.errors import InputError, MissingExtraError, UnknownModelError, ZeloError
from zelo.families import FAMILIES, Family, family_named
from zelo.local.options import device_name
from zelo.patience import Patience
from zelo.remote.address import Address
from zelo.remote.http import Http
from zelo.remote.making import key_of
from zelo.reranker import Reranker
from zelo.wire import DIALECTS, Scale

if TYPE_CHECKING:  # imports torch
    from zelo.doctor.reference import Reference

__all__ = ["Examination", "examine"]

OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What is to be examined, and what is at hand to compare with."""

    model: str
    """What the endpoint claims to be: an alias, a hub id, a folder, or any name of a server's."""
    base_url: str | None = None
    """The server; None examines the model in this process."""
    served_model_name: str | None = None
    """What the server calls the model; None for the model's own name."""
    family: str | None = None
    dialect: str = "auto"
    score_scale: Scale | None = None
    """What its numbers ought to be; None for what its dialect promises, or probabilities."""
    reference: Path | None = None
    """A folder with the model's weights."""
    known: Path | None = None
    """A file with what the right model gives, which `zelo export` writes; its weights then are
    loaded only where `reference` names them."""
    device: str | None = None
    """Where weights are computed with; None for an accelerator if there is one."""
    allow_http: bool = False
    timeout: float | None = 60.0
    """Seconds for each request; None waits as long as it takes."""
    longest: int = 8_000
    """Words of the longest document; 0 leaves long documents out."""


def examine(wanted: Examination, on_step: OnStep = lambda _: None) -> Report:
    """Examine an endpoint. One that cannot be asked gives a report that says why.

    Raises:
        InputError: an option has no meaning, or the reference is not the model.
        MissingExtraError: the weights are to be used, and the packages for that are missing.
    """
    wanted = _checked(wanted)
    source = _source(wanted)
    address = None
    if wanted.base_url is not None:
        address = Address.of(wanted.base_url, key_of(None) is not None, wanted.allow_http)
    at = wanted.model if address is None else address.root
    try:
        return _examined(wanted, source, address, on_step)
    except (InputError, MissingExtraError):
        raise
    except ZeloError as error:
        return Report(
            model=wanted.model,
            endpoint=at,
            kind=wanted.dialect if address else "local",
            family=wanted.family,
            scale=wanted.score_scale or "not known",
            reference=None,
            verdict="unknown",
            error=str(error),
        )


def _checked(wanted: Examination) -> Examination:
    path_text("model", wanted.model)
    for name in ("base_url", "served_model_name", "family"):
        text_or_none(name, getattr(wanted, name))
    device_name(wanted.device)
    true_or_false("allow_http", wanted.allow_http)
    one_of("dialect", wanted.dialect, ["auto", *DIALECTS])
    if wanted.score_scale is not None:
        one_of("score_scale", wanted.score_scale, Scale)
    return replace(
        wanted,
        reference=_path("reference", wanted.reference),
        known=_path("known", wanted.known),
        longest=at_least_zero("longest", wanted.longest),
        timeout=positive_seconds("timeout", wanted.timeout),
    )


def _path(name: str, given: Path | None) -> Path | None:
    return None if given is None else file_path(name, given)


def _examined(
    wanted: Examination, source: ModelSource | None, address: Address | None, on_step: OnStep
) -> Report:
    told = known_in(wanted.known) if wanted.known else published(wanted.model)
    family = _family(wanted, source, told)
    endpoint = _endpoint(wanted, family, source, address, on_step)
    try:
        reference = _reference(wanted, source, on_step)
        family = family or (reference.family if reference else None)
        claim = Claim(
            wanted.model,
            family or FAMILIES["zerank"],
            endpoint.scale,
            _known(wanted.model, told, reference),
            reference,
        )
        seen = observe(endpoint, family, wanted.longest, on_step)
        on_step("comparing")
        return diagnose(seen, claim, endpoint)
    finally:
        endpoint.close()


def _endpoint(
    wanted: Examination,
    family: Family | None,
    source: ModelSource | None,
    address: Address | None,
    on_step: OnStep,
) -> Endpoint:
    if address is None:
        on_step(f"loading {wanted.model}")
        reranker = Reranker(wanted.model, family=wanted.family, device=wanted.device)
        return LocalEndpoint(reranker)
    on_step(f"asking {address.root} what it is")
    folder = source.folder if source else None
    own_name = folder.name if source and folder and source.name != folder.name else wanted.model
    return RemoteEndpoint(
        Http(address),
        key_of(None),
        wanted.served_model_name or own_name,
        family,
        None if wanted.dialect == "auto" else DIALECTS[wanted.dialect],
        wanted.score_scale,
        Patience(wanted.timeout),
    )


def _source(wanted: Examination) -> ModelSource | None:
    """Return where the model comes from; a server's may have any name."""
    try:
        return resolve(wanted.model)
    except UnknownModelError:
        if wanted.base_url is None:
            raise InputError(f"there is no model {wanted.model!r} here; say --base-url") from None
        return None


def _family(wanted: Examination, source: ModelSource | None, told: Known | None) -> Family | None:
    name = wanted.family or (told.family if told else None) or (source.family if source else None)
    return None if name is None else family_named(name)


def _reference(
    wanted: Examination, source: ModelSource | None, on_step: OnStep
) -> "Reference | None":
    """Load the weights to compare with: those given, or those of a model that is a folder."""
    folder = wanted.reference or (source.folder if source and not wanted.known else None)
    if folder is None:
        return None
    on_step(f"loading {folder} to compare with")
    try:
        from zelo.doctor.reference import Reference
    except ImportError as error:
        raise MissingExtraError("comparing with weights", "local") from error
    return Reference(folder, wanted.family or (source.family if source else None), wanted.device)


def _known(model: str, told: Known | None, reference: "Reference | None") -> Known | None:
    """Return what the right model gives: by its weights, or as it was told.

    Raises:
        InputError: the weights give other numbers than were told of the model.
    """
    if reference is None:
        return told
    computed = reference.known()
    if told is None:
        return computed
    claim = Claim(model, reference.family, "probability")
    scores = [number for number in claim.right(computed).numbers() if number is not None]
    fit = compared(claim.right(told), scores, reference.family)
    if not fit.fits:
        message = (
            f"the reference is not {model}: its scores are off from the published ones by up to "
            f"{fit.largest:.2f}"
        )
        raise InputError(message)
    return replace(computed, source=f"{computed.source}, and equal to those published for {model}")
