"""Chunks of attention along time: larger ones need fewer calls, smaller ones less memory."""

from __future__ import annotations

from collections.abc import Iterator

from vrtspike.candidates.candidate import EXACT, Candidate, Purpose
from vrtspike.candidates.setting import Setting

LARGE_CHUNK = {'max_batch_tokens': 65535, 'chunk_size': 256}
FEW_TOKENS = 8192


def larger_chunks(setting: Setting) -> Iterator[Candidate]:
    """Yield larger chunks of temporal self-attention and of fusion."""
    for part, stages in (('tsa', 'tsa'), ('fusion', r'fuse\d?')):
        if 'chunk_size' in setting.part(part):
            yield Candidate(
                name=f'{part}_chunks',
                kind=EXACT,
                overrides={f'model.{part}.{key}': value for key, value in LARGE_CHUNK.items()},
                stages=stages,
                note='Larger chunks need fewer calls and change nothing else.',
            )


def smaller_chunks(setting: Setting) -> Iterator[Candidate]:
    """Yield smaller chunks of every part whose chunks are large."""
    large = [part for part in ('tsa', 'fusion') if setting.part(part).get('max_batch_tokens', 0) > FEW_TOKENS]
    overrides = {f'model.{part}.max_batch_tokens': FEW_TOKENS for part in large}
    overrides |= {f'model.{part}.adaptive_chunk': True for part in large}
    if overrides:
        yield Candidate(name='chunks', kind=EXACT, overrides=overrides, purpose=Purpose.MEMORY)
