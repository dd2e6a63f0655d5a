"""How much of a device's peak a training uses: MFU and HFU (PaLM, arXiv 2204.02311, appendix B).

Model FLOPs are those of the forward pass, and twice as many for the backward pass of every stage that has one. Hardware
FLOPs also include what activation checkpointing recomputes. MFU and HFU divide them by the time and by the rate of a
large matrix product, measured on the same device in the same precision.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from vrtspike.records.stage_costs import CountedCost, Sample, Utilisation

BACKWARD = 2
"""Multiply-accumulates of a backward pass for each one of the forward pass: one for the gradient of each operand."""


class SampleUtilisation(msgspec.Struct, frozen=True):
    """The utilisation in one iteration, and in every stage with multiply-accumulates."""

    iteration: Utilisation
    stages: dict[str, Utilisation]


def sample_utilisation(sample: Sample, costs: Mapping[str, CountedCost], peak: float) -> SampleUtilisation | None:
    """Return the utilisation in a sampled iteration, None if nothing was counted or measured.

    Args:
        sample: The iteration. Its clips have the counted shape.
        costs: Counts of one clip by stage.
        peak: Of the device, in GMAC/s.
    """
    times = sample.stages()
    work = {
        name: work_of(costs[name], phases, sample.clips)
        for name, phases in times.items()
        if name in costs and costs[name].gmacs
    }
    if not work or not peak or not sample.clips:
        return None
    return SampleUtilisation(
        utilisation(_sum(work.values()), sample.iteration_ms, peak),
        {name: utilisation(each, ms, peak) for name, each in work.items() if (ms := sum(times[name].values()))},
    )


Work = tuple[float, float | None]
"""GMAC of the model, and of the hardware (None if it is not known what was recomputed)."""


def work_of(cost: CountedCost, phases: Collection[str], clips: float) -> Work:
    """Return the work of a stage.

    Args:
        cost: Counts of its forward pass for one clip.
        phases: Which it had. Without a backward pass, as in a frozen stage, only the forward pass counts.
        clips: In the batch.
    """
    model = cost.gmacs * clips * (1 + BACKWARD * ('backward' in phases))
    if cost.recomputed_gmacs is not msgspec.UNSET:
        return model, model + cost.recomputed_gmacs * clips
    return model, None if 'recompute' in phases else model


def utilisation(work: Work, ms: float, peak: float) -> Utilisation:
    """Return the fractions of a peak in GMAC/s that work in a time reaches."""
    model, hardware = work
    done = ms / 1e3 * peak
    return Utilisation(mfu=model / done, hfu=None if hardware is None else hardware / done)


def _sum(works: Collection[Work]) -> Work:
    models, hardware = zip(*works, strict=True)
    return sum(models), None if None in hardware else sum(hardware)
