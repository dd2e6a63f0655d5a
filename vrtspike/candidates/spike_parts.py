"""Cheaper parts around the backbone: fusion, temporal self-attention and the spike encoder."""

from __future__ import annotations

from collections.abc import Iterator

from vrtspike.candidates.candidate import CHANGES, Candidate
from vrtspike.candidates.setting import Setting


def cheaper_fusion(setting: Setting) -> Iterator[Candidate]:
    """Yield fusion by convolutions, and fusion at fewer stages."""
    if setting.part('fusion'):
        yield Candidate(
            name='fusion_convolution',
            kind=CHANGES,
            overrides={'model.fusion': {'_delete_': True, 'type': 'ConcatFusion'}},
            stages=r'fuse\d?',
            resumable=False,
            note='Fusion by convolutions is another network, without attention along time.',
        )
    stages = list(setting.model.get('fusion_stages') or ())
    if len(stages) > 1:
        yield Candidate(
            name='fuse_below_full_size',
            kind=CHANGES,
            overrides={'model.fusion_stages': stages[1:]},
            stages='fuse1?',
            resumable=False,
            note='Fusing at lower resolutions only is another network.',
        )
        yield Candidate(
            name='fuse_once',
            kind=CHANGES,
            overrides={'model.fusion_stages': stages[:1]},
            stages='fuse[2-4]',
            resumable=False,
            note='Fusing once only is another network.',
        )


def cheaper_tsa(setting: Setting) -> Iterator[Candidate]:
    """Yield a convolution along time in place of temporal self-attention, and neither of them."""
    if not setting.part('tsa'):
        return
    yield Candidate(
        name='tsa_convolution',
        kind=CHANGES,
        overrides={'model.tsa': {'_delete_': True, 'type': 'TemporalConvolution'}},
        stages='tsa',
        resumable=False,
        note='With a convolution along time, spike features see the neighbouring frames only.',
    )
    yield Candidate(
        name='no_tsa',
        kind=CHANGES,
        overrides={'model.tsa': None},
        stages='tsa',
        resumable=False,
        note='Without temporal self-attention, spike features do not see other frames.',
    )


def narrower_encoder(setting: Setting) -> Iterator[Candidate]:
    """Yield half the channels of the spike encoder, where the heads of attention divide them."""
    channels = setting.part('spike_encoder').get('channels')
    heads = max(setting.part(part).get('heads', 1) for part in ('tsa', 'fusion'))
    if channels and channels // 2 % heads == 0:
        yield Candidate(
            name='half_encoder',
            kind=CHANGES,
            overrides={'model.spike_encoder.channels': channels // 2},
            stages='spike_encoder|tsa',
            resumable=False,
            note='The cost of the spike encoder grows with the square of its channels.',
        )
