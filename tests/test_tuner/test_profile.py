"""Shares of the stages, of an iteration and of restoring."""

import pytest

from vrtspike.tuner.profile import bottlenecks_of, shares_of

STAGES = {'data': 5.0, 'stage1': 30.0, 'fuse1': 10.0, 'loss': 2.0, 'optimizer': 50.0, 'reconstruction': None}
REPORT = {
    'bottlenecks': [{'stage': 'optimizer', 'share': 0.9, 'share_interval': [0.8, 1.0]}],
    'stages': {name: {'forward_ms': ms and {'mean': ms}, 'backward_ms': None} for name, ms in STAGES.items()},
}


def test_restoring_is_the_forward_pass_of_the_network():
    found = bottlenecks_of(REPORT, 'infer')
    assert [entry['stage'] for entry in found] == ['stage1', 'fuse1']
    assert shares_of(found) == pytest.approx({'stage1': 0.75, 'fuse1': 0.25})


def test_training_is_the_whole_iteration():
    assert shares_of(bottlenecks_of(REPORT, 'train')) == {'optimizer': 0.9}
