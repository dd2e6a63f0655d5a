"""Refusal of constructor arguments that cannot work."""

import numpy as np
import pytest

from vrtspike.errors import ConfigError
from vrtspike.models.layers.checks import require_positive, require_positive_integers


def test_numbers_that_work_pass():
    require_positive('Part', ratio=0.5, delta=np.float32(1e-3), weight=2)
    require_positive_integers('Part', heads=4, channels=np.int64(96))


@pytest.mark.parametrize('value', [0, -1.5, float('nan'), float('inf'), True, '1e-4', None])
def test_other_values_are_refused_by_name(value):
    with pytest.raises(ConfigError, match=r'^Part: ratio=.*expected a number above zero'):
        require_positive('Part', delta=1.0, ratio=value)


@pytest.mark.parametrize('value', [0, -4, 4.0, True, '4'])
def test_other_counts_are_refused_by_name(value):
    with pytest.raises(ConfigError, match=r'^Part: heads=.*expected an integer above zero'):
        require_positive_integers('Part', channels=96, heads=value)
