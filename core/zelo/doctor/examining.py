"""From what a user says to a report: which endpoint, what it claims, what is known of that."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zelo._common.checks import (
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
from zelo.doctor.lengths import long_pair
from zelo.doctor.matching import compared
from zelo.doctor.pairs import PAIRS, Known, known_in, published
from zelo.doctor.probes import observe
from zelo.doctor.report import Report
from zelo.errors import InputError, MissingExtraError, ModelError, UnknownModelError, ZeloError
from zelo.remote.making import key_of
from zelo.reranker import Reranker
from zelo.scoring.catalog import ModelSource, resolve
from zelo.scoring.families import FAMILIES, Family, family_named
from zelo.scoring.options import Head, InstanceKey, device_name
from zelo.scoring.retrying import Patience
from zelo.transport.address import Address
from zelo.transport.client import Http
from zelo.wire import DIALECTS, Scale

if TYPE_CHECKING:  # these import torch
    from zelo.local.loading.checkpoint import Checkpoint

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
    head: Head | None = None
    """How the head of a folder is read, as `zelo.Reranker` takes it."""
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
    checkpoint = _checkpoint(wanted, source)
    family = checkpoint.family if checkpoint else _family(wanted, source, told)
    # a copy of the weights at a time: that which answers, the witness's, and the reference's
    endpoint = _endpoint(wanted, family, source, address, on_step)
    try:
        seen = observe(endpoint, family, wanted.longest, on_step)
    finally:
        endpoint.close()
    claim = Claim(wanted.model, family or FAMILIES["zerank"], endpoint.scale, told)
    if checkpoint is not None:
        on_step(f"letting another program read {checkpoint.files.own_folder}")
        claim = _with_witness(replace(claim, own=seen.numbers), wanted, checkpoint)
        if _folder(wanted, source) is not None:
            on_step(f"loading {checkpoint.files.own_folder} to compare with")
            claim = _with_reference(claim, wanted, checkpoint)
    on_step("comparing")
    return diagnose(seen, claim, endpoint)


def _endpoint(
    wanted: Examination,
    family: Family | None,
    source: ModelSource | None,
    address: Address | None,
    on_step: OnStep,
) -> Endpoint:
    if address is None:
        on_step(f"loading {wanted.model}")
        reranker = Reranker(
            wanted.model, family=wanted.family, head=wanted.head, device=wanted.device
        )
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


def _folder(wanted: Examination, source: ModelSource | None) -> Path | None:
    """Return the folder with weights to compare with, where one is given or the model is one."""
    return wanted.reference or (source.folder if source and not wanted.known else None)


def _checkpoint(wanted: Examination, source: ModelSource | None) -> "Checkpoint | None":
    """Say what stands in the weights to compare with, loading none; None where there are none.

    A model of the hub that runs here has to be fetched anyway.
    """
    folder = _folder(wanted, source)
    fetched = source is not None and wanted.base_url is None and wanted.known is None
    if folder is None and not fetched:
        return None
    try:
        from zelo.local.instances import model_folder
        from zelo.local.loading.checkpoint import inspect_checkpoint
    except ImportError as error:
        raise MissingExtraError("comparing with weights", "local") from error
    if folder is None:
        assert source is not None  # noqa: S101 - or nothing was fetched
        folder = model_folder(InstanceKey(source))
    return inspect_checkpoint(
        folder, wanted.family or (source.family if source else None), wanted.head
    )


def _with_witness(claim: Claim, wanted: Examination, checkpoint: "Checkpoint") -> Claim:
    """Add what another program reads in the folder."""
    from zelo.doctor.witness import testify
    from zelo.local.loading.device import choose_device

    # a server may cut long documents for good reasons of its own
    longest = wanted.longest if wanted.base_url is None else 0
    pairs = [*PAIRS, *([long_pair(longest)] if longest else [])]
    try:
        testimony = testify(checkpoint, pairs, choose_device(wanted.device))
    except ModelError as error:
        return replace(claim, silence=str(error))
    logits = testimony.logits[: len(PAIRS)]
    told = f"computed in float32 by {testimony.witness}, from the folder as it is"
    return replace(
        claim,
        known=_agreed(claim, Known(f"{told}: {checkpoint.files.own_folder}", logits)),
        testimony=replace(testimony, logits=logits),
        long=(longest, testimony.logits[-1]) if longest else None,
    )


def _with_reference(claim: Claim, wanted: Examination, checkpoint: "Checkpoint") -> Claim:
    """Add what zelo reads in the folder; it is what is right where nobody else could read it."""
    from zelo.doctor.prompts import RIGHT
    from zelo.doctor.reference import Reference

    folder, family = checkpoint.files.own_folder, checkpoint.family.name
    reference = Reference(folder, family, wanted.device, wanted.head)
    claim = replace(claim, reference=reference, own=tuple(reference.logits(RIGHT, PAIRS)))
    if claim.testimony is not None:
        return claim
    known = Known(f"{reference.source}, by zelo's own reading only", claim.own)
    return replace(claim, known=_agreed(claim, known))


def _agreed(claim: Claim, computed: Known) -> Known:
    """Return what the weights give, if it is what was told of the model, where anything was.

    Raises:
        InputError: it is not.
    """
    if claim.known is None:
        return computed
    of_model = replace(claim, scale="probability")
    scores = [number for number in of_model.right(computed).numbers() if number is not None]
    fit = compared(of_model.right(claim.known), scores, claim.family)
    if not fit.fits:
        message = (
            f"the reference is not {claim.model}: its scores are off from the published ones by "
            f"up to {fit.largest:.2f}"
        )
        raise InputError(message)
    published_too = f"{computed.source}, and equal to those published for {claim.model}"
    return replace(computed, source=published_too)
