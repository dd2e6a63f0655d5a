import pytest

from vrtspike.datasets.spike_layout import SpikeLayout
from vrtspike.errors import ConfigError


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
