"""The benchmark of a real video, on five small frames and an untrained network."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tool_processes import run_script

from vrtspike.config import load_config
from vrtspike.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIG = f"""
_base_ = '{ROOT}/configs/pretrained.py'
model = dict(backbone=dict(channels=4, depths=[1]), spike_encoder=dict(channels=4))
"""


@pytest.fixture
def network(tmp_path):
    """The paths of a small config and of its untrained weights."""
    path = tmp_path / 'small.py'
    path.write_text(CONFIG)
    config = load_config(path)
    torch.save({'state_dict': MODELS.build(config.model).state_dict(), 'meta': {}}, tmp_path / 'iter_1.pth')
    return [str(path), str(tmp_path / 'iter_1.pth')]


def run(*arguments):
    return run_script(ROOT / 'benchmarks/real_video.py', *arguments, cwd=ROOT)


def test_an_untrained_network_scores_what_its_start_scores(tmp_path, network):
    (tmp_path / 'frames').mkdir()
    texture = np.random.default_rng(0).integers(0, 256, (32, 44, 3), dtype=np.uint8)
    for i in range(5):
        cv2.imwrite(str(tmp_path / f'frames/{i}.png'), cv2.blur(texture, (5, 5))[:, 2 * i : 2 * i + 32])
    done = run(tmp_path / 'frames', *network, '--frames-per-exposure', 1, '--out', tmp_path / 'out')
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / 'out/scores/results.json').read_text())
    clip = results['clips'][0]
    assert clip['frames'] == 5
    assert clip['psnr_db'] == pytest.approx(clip['sdm_psnr_db'])
    assert [each['factor'] for each in results['thresholds']] == [1, 2, 4]


def test_a_video_that_is_not_there_is_one_error(tmp_path, network):
    done = run(tmp_path / 'no.mp4', *network, '--out', tmp_path / 'out')
    assert done.returncode == 1
    assert done.stderr.count('error:') == 1
    assert 'no.mp4' in done.stderr
