"""Records of what the stages of a training cost: the lines of ``stage_costs.jsonl``.

``vrtspike/records/stage_costs.schema.json`` describes the same lines for other programs. The writer encodes the types
below and the reader decodes into them, which checks every line.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from vrtspike.records.nominal_peaks import NominalPeak

FILE_NAME = 'stage_costs.jsonl'
"""The file of rank 0 in the folder of a run."""

PHASES = ('forward', 'recompute', 'backward')
"""Phases of a stage. ``recompute`` is forward work that activation checkpointing repeats in the backward pass."""

PHASE_KEYS = tuple(f'{phase}_ms' for phase in PHASES)
"""Keys of the phases' milliseconds in records and reports."""

LAUNCH_BOUND_FROM = 0.5
"""A stage is launch-bound if at least this share of its time is host-bound."""

WITHOUT_DEVICE = ('data', 'communication', 'other')
"""Stages that are not computed on the device, so that they are never launch-bound."""

# The limits keep sums finite. No run reaches them: 1e12 ms are 31 years, and 1e12 MiB are an exabyte.
Natural = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Loss = Annotated[float, msgspec.Meta(ge=-1e38, le=1e38)]

MOST_NAMES = 1024
"""Most stages, and most parts, of a sample."""


class Owner(NamedTuple):
    """The stage, part and phase that a stretch of time belongs to."""

    stage: str
    part: str | None = None
    """With a leading slash, as in '/attention'."""
    phase: str = 'forward'


class Span(NamedTuple):
    """A stretch of an iteration in which the owner does not change."""

    owner: Owner
    start_ms: float
    """Since the beginning of the iteration."""
    ms: float
    host_bound_ms: float | None = None
    """How much of it is host-bound, see :class:`StageTimes`."""
    memory_mib: float | None = None
    """In use at its beginning."""


class Times(msgspec.Struct, gc=False, omit_defaults=True):
    """Milliseconds of a part by phase. Phases that it does not have are left out and count as 0."""

    forward_ms: Amount = 0.0
    recompute_ms: Amount = 0.0
    backward_ms: Amount = 0.0


class StageTimes(Times, gc=False, omit_defaults=True):
    """Times and memory of a stage. Without a GPU its memory is not known, which NaN stands for."""

    peak_mib: Amount | None = math.nan
    allocated_mib: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] | None = math.nan
    """Negative if the stage freed more than it allocated."""
    host_bound_ms: Amount | None = math.nan
    """Of its time on a GPU: milliseconds in which the host was still issuing its work, so that the GPU may have waited
    for the host (:mod:`vrtspike.profiling.host_bound`)."""


class Utilisation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fractions of the device's measured peak; see :mod:`vrtspike.records.utilisation`."""

    mfu: Amount
    hfu: Amount | None = None
    """None if it is not known what was recomputed."""


class SampleLine(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True, tag_field='kind', tag='sample'):
    """What one iteration cost in one process."""

    iteration: Natural
    rank: Natural
    iteration_ms: Amount
    clips: Natural
    frames: Natural
    loss: Loss | msgspec.UnsetType | None = msgspec.UNSET
    """None if it was not finite."""
    memory_mib: Amount | None = math.nan
    stages: Annotated[dict[str, StageTimes], msgspec.Meta(max_length=MOST_NAMES)]
    parts: Annotated[dict[str, Times], msgspec.Meta(max_length=MOST_NAMES)] = {}
    """By ``<stage>/<part>``; their times are also in the times of the stages."""
    mfu: Amount | None = math.nan
    hfu: Amount | None = math.nan
    utilisation: Annotated[dict[str, Utilisation], msgspec.Meta(max_length=MOST_NAMES)] = {}
    """By stage."""


class CountedCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage computes in the forward pass of one clip."""

    gmacs: Amount = 0.0
    parameters: int = 0
    activations_m: Amount = 0.0
    """Millions of values."""
    mib: Amount = 0.0
    """Read and written by all operators, one by one, at four bytes per value."""
    recomputed_gmacs: Amount | msgspec.UnsetType = msgspec.UNSET
    """What activation checkpointing computes again in the backward pass. It is counted only if a sample has any."""


class Rates(msgspec.Struct, frozen=True):
    """The best rates that a device reached."""

    gmacs_per_s: Amount
    """Of the product of two large square matrices."""
    gib_per_s: Amount
    """Bytes read and written by a large copy."""


class RunLine(msgspec.Struct, kw_only=True, tag_field='kind', tag='run'):
    """The description of a run, which comes before its samples and again after every resumption."""

    version: Literal[1]
    time: str | None = None
    config: str | None = None
    rank: Natural
    world_size: Natural
    stages: list[str]
    """Of an iteration, in the order they run."""
    warmup: int | None = None
    interval: int | None = None
    accumulative_counts: int | None = None
    precision: str | None = None
    clip_shape: list[int] | None = None
    """(T, H, W) that ``costs`` were counted for."""
    costs: dict[str, CountedCost] | None = None
    uncounted_ops: dict[str, int] | None = None
    rates: Rates | None = None
    nominal: NominalPeak | msgspec.UnsetType = msgspec.UNSET
    """The stated peak of the device, if it is known."""
    notes: list[str] | None = None
    versions: dict[str, Any] | None = None
    device: dict[str, Any] | None = None
    commit: str | None = None


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What one iteration cost in one process, as it was measured."""

    iteration: int
    iteration_ms: float
    times: dict[Owner, float]
    """Milliseconds by owner. Their sum is ``iteration_ms``."""
    clips: int
    frames: int
    shapes: tuple[tuple[int, ...], ...] | None = None
    """Of the tensors in the batch, without the number of clips."""
    rank: int = 0
    loss: float | None = None
    memory_mib: float | None = None
    peak_mib: dict[str, float] = {}
    allocated_mib: dict[str, float] = {}
    host_bound_ms: dict[str, float] = {}
    began_us: int = 0
    """When it began, in microseconds since 1970."""
    spans: list[Span] = []
    """What was done when, if the iteration is traced."""

    def stages(self) -> dict[str, dict[str, float]]:
        """Return the milliseconds by stage and phase, parts included."""
        return self._sums(lambda owner: owner.stage)

    def parts(self) -> dict[str, dict[str, float]]:
        """Return the milliseconds by ``<stage>/<part>`` and phase."""
        return self._sums(lambda owner: owner.part and f'{owner.stage}{owner.part}')

    def _sums(self, name_of) -> dict[str, dict[str, float]]:
        sums: dict[str, dict[str, float]] = {}
        for owner, ms in self.times.items():
            name = name_of(owner)
            if name:
                phases = sums.setdefault(name, {})
                phases[owner.phase] = phases.get(owner.phase, 0.0) + ms
        return sums
