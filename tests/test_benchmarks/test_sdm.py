import json
from pathlib import Path

import numpy as np

from benchmarks.sdm import fixed_window

ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / 'benchmarks/records/restoring/sdm.json').read_text(encoding='utf-8'))


def test_a_fixed_window_is_the_ratio_of_two_means():
    spikes = np.zeros((64, 8, 8), np.uint8)
    spikes[28:36] = 1
    np.testing.assert_allclose(fixed_window(16)(spikes), (8 / 16 + 0.02) / (8 / 64 + 0.02), rtol=1e-6)


def test_windows_by_noise_are_better_than_every_fixed_one_at_every_threshold():
    assert [row['threshold_factor'] for row in RECORD['demo_clips']] == [1, 2, 4] * 2
    for row in RECORD['demo_clips']:
        fixed = [value for name, value in row.items() if name.startswith('fixed_')]
        assert row['sdm_psnr_db'] > max(fixed)
