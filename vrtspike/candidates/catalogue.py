"""The catalogue of all candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vrtspike.candidates import exact, networks, training
from vrtspike.candidates.candidate import Candidate, Purpose, is_set
from vrtspike.candidates.setting import Setting

FAMILIES: tuple[Callable[[Setting], Iterator[Candidate]], ...] = (
    # The same function.
    exact.attention_backends,
    exact.checkpointing_policies,
    exact.compilation,
    exact.larger_chunks,
    training.data_workers,
    # The same function in lower precision.
    exact.lower_precision,
    # Other networks.
    networks.half_depth,
    networks.smaller_window,
    networks.narrower,
    networks.cheaper_fusion,
    networks.cheaper_tsa,
    networks.narrower_encoder,
    networks.student,
    # Less memory, the cheapest first.
    exact.checkpoint_everything,
    exact.smaller_chunks,
    training.smaller_batch,
    # Cheaper trainings.
    exact.fewer_checkpoints,
    training.cheaper_training,
)


def catalogue(setting: Setting, *purposes: Purpose) -> Iterator[Candidate]:
    """Yield the candidates that a config does not use yet, each change once, for the given purposes or for all."""
    seen = []
    for candidate in (candidate for family in FAMILIES for candidate in family(setting)):
        wanted = not purposes or candidate.purpose in purposes
        if wanted and candidate.overrides not in seen and not is_set(setting.config, candidate.overrides):
            seen.append(candidate.overrides)
            yield candidate
