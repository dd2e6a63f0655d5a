import numpy as np
import pytest

from vrtspike.errors import LogError
from vrtspike.reporting.curve_plots import show_or_save_curves


def test_curves(tmp_path):
    curves = [('a', (np.arange(5), np.arange(5))), ('b', ([1, 2], [3, 4]))]
    show_or_save_curves(curves, tmp_path / 'curves.svg', title='Both', style='ggplot')
    text = (tmp_path / 'curves.svg').read_text()
    assert 'Both' in text
    with pytest.raises(LogError, match="no style 'gplot'; did you mean 'ggplot'"):
        show_or_save_curves(curves, tmp_path / 'x.svg', style='gplot')
    with pytest.raises(LogError, match='no screen'):
        show_or_save_curves(curves, None, backend='agg')
