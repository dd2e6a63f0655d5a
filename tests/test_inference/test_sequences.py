import numpy as np
import pytest
from mmengine.config import Config

from vrtspike.datasets import write_demo
from vrtspike.errors import ConfigError
from vrtspike.inference.sequences import held_out_sequences
from vrtspike.metrics import psnr

PACK = dict(type='PackClip')


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    settings = dict(train_clips=0, val_clips=2, frames=5, size=32, steps_per_frame=32)
    return write_demo(tmp_path_factory.mktemp('data') / 'demo', **settings, progress=False)


def config(demo, **dataset):
    pipeline = [dict(type='PairedCenterCrop', size=16), dict(type='BinSpikes'), PACK]
    source = dict(type='ProcessedClips', root=str(demo))
    node = dict(type='ClipDataset', split='val', clip_len=2, stride=2, pipeline=pipeline, source=source)
    return Config(dict(val_dataloader=dict(dataset=dict(node, **dataset))))


def test_windows_are_what_the_data_set_gives(demo):
    clips = held_out_sequences(config(demo))
    assert [len(sequence.stems) for sequence in clips.sequences] == [5, 5]
    window = clips.window(1, 2, 5)
    assert window.batch['meta']['first_frame'] == ['00002']
    assert window.batch['blur'].shape == (1, 3, 3, 16, 16)
    assert window.raw.shape == (3, 32, 8, 8)
    assert np.array_equal(window.frames('sharp')[1:2], clips.window(1, 3, 4).frames('sharp'))


def test_a_limit_of_clips_limits_sequences(demo):
    assert len(held_out_sequences(config(demo, limit=2)).sequences) == 1
    assert len(held_out_sequences(config(demo, limit=3)).sequences) == 2


def test_twice_the_threshold_halves_the_spikes_and_keeps_the_light(demo):
    once, twice = (held_out_sequences(config(demo), factor).window(0, 0, 5) for factor in (1.0, 2.0))
    assert twice.raw.mean() == pytest.approx(once.raw.mean() / 2, rel=0.02)
    assert float(twice.batch['spikes'].mean()) == pytest.approx(float(once.batch['spikes'].mean()), rel=0.02)
    assert float(twice.batch['meta']['threshold'][0]) == 2.0


def test_playbacks_are_near_the_scene(demo):
    window = held_out_sequences(config(demo)).window(0, 0, 5)
    playbacks = window.playbacks()
    assert set(playbacks) == {'tfp', 'tfi', 'sdm'}
    sharp = window.frames('sharp')
    for name in ('tfp', 'tfi'):
        assert playbacks[name].shape == (5, 16, 16)
        assert np.abs(playbacks[name] - sharp.mean(axis=3)).mean() < 40
    assert psnr(playbacks['sdm'], sharp) > psnr(window.frames('blur'), sharp)


def test_spikes_alone_are_scored_in_grey_beside_tfp_and_tfi(demo):
    clips = held_out_sequences(config(demo, pipeline=[dict(type='SpikesAlone'), dict(type='BinSpikes'), PACK]))
    window = clips.window(0, 0, 5)
    playbacks, sharp = window.playbacks(), window.frames('sharp')
    assert set(playbacks) == {'tfp', 'tfi'}
    assert sharp.shape == (5, 16, 16, 3)
    assert (sharp == sharp[..., :1]).all()
    assert np.abs(window.frames('blur')[..., 0] - playbacks['tfp'].astype(int)).max() <= 1
    assert np.abs(playbacks['tfp'] - sharp[..., 0].astype(int)).mean() < 20


def test_without_clips_it_says_so():
    with pytest.raises(ConfigError, match='names no ClipDataset'):
        held_out_sequences(Config(dict(model={})))
