import inspect

import pytest

import vrtspike.datasets  # noqa: F401 (registers the sources)
from vrtspike.datasets.spike_layout import SpikeLayout
from vrtspike.errors import ConfigError
from vrtspike.registry import CLIP_SOURCES

SIMULATED = ('DemoClips',)


def test_raw_files_are_little_endian_and_bottom_up_by_rule():
    assert SpikeLayout().raw() == {'bit_order': 'little', 'flipped': True}
    assert SpikeLayout('big', False).raw() == {'bit_order': 'big', 'flipped': False}


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (
            {'bit_order': 'litle'},
            "bit_order='litle' of spikes is unknown: expected little or big; did you mean 'little'",
        ),
        ({'axes': 'HWC'}, "axes='HWC'"),
        ({'flipped': 'no'}, "flipped='no' of spikes is unknown: expected true or false"),
    ],
)
def test_other_values_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        SpikeLayout(**values)


def test_every_source_of_spikes_takes_their_description():
    """All but those of frames alone, and of clips that are simulated by us."""
    for name, source in CLIP_SOURCES.module_dict.items():
        taken = inspect.signature(source).parameters
        if 'threshold' in taken and name not in SIMULATED:
            assert taken.keys() >= {'light', 'bit_order', 'flipped', 'axes'}, name
