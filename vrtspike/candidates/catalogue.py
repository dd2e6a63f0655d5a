"""Every candidate there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vrtspike.candidates.attention import attention_backends, compilation
from vrtspike.candidates.candidate import Candidate, Purpose, is_set
from vrtspike.candidates.checkpointing import checkpoint_everything, checkpointing_policies, fewer_checkpoints
from vrtspike.candidates.chunks import larger_chunks, smaller_chunks
from vrtspike.candidates.data_loading import data_workers, prefetching
from vrtspike.candidates.precision import restoring_precision, training_precision
from vrtspike.candidates.setting import Setting
from vrtspike.candidates.size import half_depth, narrower, smaller_window, student
from vrtspike.candidates.spike_parts import cheaper_fusion, cheaper_tsa, narrower_encoder
from vrtspike.candidates.training import frozen_flow, larger_batch, optimizer_step, rarer_hooks, smaller_batch

FAMILIES: tuple[Callable[[Setting], Iterator[Candidate]], ...] = (
    # The same function.
    attention_backends,
    checkpointing_policies,
    compilation,
    larger_chunks,
    data_workers,
    # The same function in lower precision.
    training_precision,
    restoring_precision,
    # Other networks.
    half_depth,
    smaller_window,
    narrower,
    cheaper_fusion,
    cheaper_tsa,
    narrower_encoder,
    student,
    # Less memory, the cheapest first.
    checkpoint_everything,
    smaller_chunks,
    smaller_batch,
    # Cheaper trainings.
    fewer_checkpoints,
    prefetching,
    larger_batch,
    optimizer_step,
    frozen_flow,
    rarer_hooks,
)


def catalogue(setting: Setting, *purposes: Purpose) -> Iterator[Candidate]:
    """Yield what a config does not do yet, each change once.

    Args:
        setting: The config and the machine.
        purposes: Leave out candidates for other purposes; all where none is given.
    """
    seen = []
    for candidate in (candidate for family in FAMILIES for candidate in family(setting)):
        wanted = not purposes or candidate.purpose in purposes
        if wanted and candidate.overrides not in seen and not is_set(setting.config, candidate.overrides):
            seen.append(candidate.overrides)
            yield candidate
