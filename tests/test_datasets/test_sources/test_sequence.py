from pathlib import Path

import numpy as np

from vrtspike.datasets.sources.sequence import Sequence


def test_paths_join_folder_stem_and_suffix():
    folders = [Path('a/blur'), Path('b/sharp'), Path('c/spike')]
    sequence = Sequence('x', *folders, np.array(['07']), (8, 8), 1.0, blur_suffix='.jpg', sharp_suffix='.PNG')
    assert sequence.image_path('blur', '07') == Path('a/blur/07.jpg')
    assert sequence.image_path('sharp', '07') == Path('b/sharp/07.PNG')
    assert sequence.spike_path('07') == Path('c/spike/07.dat')
