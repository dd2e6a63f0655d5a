import os

import cv2
import numpy as np
import pytest
import yaml

from vrtspike.datasets.color import decode_srgb, luminance
from vrtspike.datasets.representations.counts import tfp
from vrtspike.datasets.simulation import demo
from vrtspike.datasets.simulation.demo import DemoRecipe, write_demo
from vrtspike.datasets.simulation.photographs import TRAIN_PHOTOGRAPHS, VAL_PHOTOGRAPHS
from vrtspike.datasets.sources.folders import read_config
from vrtspike.datasets.spike_dat import bytes_per_step, read_spike_dat
from vrtspike.errors import ConfigError, DataError

TINY = {'train_clips': 2, 'val_clips': 2, 'frames': 4, 'size': 32, 'steps_per_frame': 16, 'progress': False}


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def test_a_demo_has_the_processed_layout(tiny_demo):
    assert {path.name for path in tiny_demo.iterdir()} == {'train', 'val', 'config.yaml'}
    for split, background in (('train', TRAIN_PHOTOGRAPHS[1]), ('val', VAL_PHOTOGRAPHS[1])):
        clip = tiny_demo / split / f'001_{background.partition(".")[0]}'
        assert {path.name for path in clip.iterdir()} == {'blur', 'sharp', 'spike'}
        assert sorted(path.name for path in (clip / 'spike').iterdir())[-1] == '00003.dat'
        assert (clip / 'spike' / '00003.dat').stat().st_size == 16 * 16 * 16 // 8
        assert cv2.imread(str(clip / 'sharp' / '00003.png')).shape == (32, 32, 3)
    config = yaml.safe_load((tiny_demo / 'config.yaml').read_text())
    assert (config['spike_w'], config['spike_h'], config['threshold'], config['steps_per_frame']) == (16, 16, 1.0, 16)


def test_the_bytes_follow_from_the_seed(tiny_demo, tmp_path):
    assert contents(write_demo(tmp_path / 'same', **TINY)) == contents(tiny_demo)
    other = contents(write_demo(tmp_path / 'other', **TINY, seed=1))
    assert all(other[path] != content for path, content in contents(tiny_demo).items())


def test_a_clip_does_not_depend_on_how_many_others_there_are(tiny_demo, tmp_path):
    one = write_demo(tmp_path / 'one', **{**TINY, 'train_clips': 0, 'val_clips': 1})
    assert contents(one / 'val' / '000_chelsea') == contents(tiny_demo / 'val' / '000_chelsea')


def test_spikes_and_blur_record_the_same_light(tiny_demo):
    for clip in (tiny_demo / 'train').iterdir():
        blur = cv2.imread(str(clip / 'blur' / '00002.png'))[..., ::-1]
        grey = cv2.resize(luminance(decode_srgb(blur / 255)), (16, 16), interpolation=cv2.INTER_AREA)
        played = tfp(read_spike_dat(clip / 'spike' / '00002.dat', 16, 16), 1.0)
        # One spike more or less in 16 steps, and the rounding of 8-bit images.
        assert np.abs(played - grey).max() < 1 / 16 + 0.01


def test_validation_is_neither_trivial_nor_hopeless(tmp_path):
    # The default demo's validation scenes; fewer instants make no difference that matters here.
    root = write_demo(tmp_path / 'val', train_clips=0, frames=5, steps_per_frame=16, progress=False)
    clips = sorted((root / 'val').iterdir())
    scores = [np.mean([blur_psnr(clip, path.name) for path in (clip / 'blur').iterdir()]) for clip in clips]
    assert 24 < np.mean(scores) < 27
    assert min(scores) > 20
    assert max(scores) < 30


def blur_psnr(clip, name):
    blur, sharp = (cv2.imread(str(clip / kind / name)).astype(float) for kind in ('blur', 'sharp'))
    return 10 * np.log10(255**2 / np.mean((blur - sharp) ** 2))


def test_the_same_demo_is_kept(tiny_copy):
    before = {path: path.stat().st_mtime_ns for path in tiny_copy.rglob('*')}
    assert write_demo(tiny_copy, **TINY) == tiny_copy
    assert before == {path: path.stat().st_mtime_ns for path in tiny_copy.rglob('*')}


def test_a_demo_with_other_parameters_gets_its_own_folder(tiny_copy):
    before = contents(tiny_copy)
    others = [write_demo(tiny_copy, **TINY, seed=seed) for seed in (7, 8)]
    assert len({tiny_copy, *others}) == 3
    assert all(other.parent == tiny_copy.parent and other.name.startswith('copy_') for other in others)
    assert contents(tiny_copy) == before
    assert yaml.safe_load((others[0] / 'config.yaml').read_text())['generator']['seed'] == 7
    assert write_demo(tiny_copy, **TINY, seed=7) == others[0]


def test_a_folder_of_another_demo_is_not_overwritten(tiny_copy):
    other = write_demo(tiny_copy, **TINY, seed=7)
    (other / 'config.yaml').write_text('generator: {seed: 8}')
    with pytest.raises(DataError, match='contains the demo clips of another recipe'):
        write_demo(tiny_copy, **TINY, seed=7)


def test_foreign_folders_and_files_are_left_alone(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.txt').write_text('precious')
    (tmp_path / 'file').write_text('precious')
    for name in ('mine', 'file'):
        with pytest.raises(DataError, match=f'{name} contains something other than demo clips'):
            write_demo(tmp_path / name, **TINY)
    assert (tmp_path / 'mine' / 'thesis.txt').read_text() == 'precious'


def test_an_interrupted_demo_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, 'write_spike_dat', lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_demo(tmp_path / 'demo', **TINY)
    assert list(tmp_path.iterdir()) == []


def test_the_demo_of_a_faster_process_is_kept(monkeypatch, tiny_demo, tmp_path):
    root = tmp_path / 'demo'
    write_clips = demo.write_clips

    def slow(aside, recipe, progress):
        write_clips(aside, recipe, progress)
        write_clips(root, recipe, progress)
        (root / 'mark').touch()

    monkeypatch.setattr(demo, 'write_clips', slow)
    write_demo(root, **TINY)
    assert set(os.listdir(root)) == {'train', 'val', 'config.yaml', 'mark'}
    assert os.listdir(tmp_path) == ['demo']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'frames': 0, 'threshold': 0.5}, r'frames=0 \(at least 1\), threshold=0.5 \(at least 1.0\)'),
        ({'size': 33}, 'size=33, expected a multiple of rgb_per_spike_pixel=2'),
    ],
)
def test_impossible_demos_are_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        write_demo(tmp_path / 'demo', **{**TINY, **options})


@pytest.mark.parametrize('ratio', [1, 4])
def test_spike_pixels_have_the_wanted_size(tmp_path, ratio):
    root = write_demo(tmp_path / 'demo', **TINY, rgb_per_spike_pixel=ratio)
    config = read_config(root / 'config.yaml')
    assert config['spike_h'] == config['spike_w'] == TINY['size'] // ratio
    assert config['generator']['rgb_per_spike_pixel'] == ratio
    spikes = next(root.glob('train/*/spike/*.dat'))
    assert spikes.stat().st_size == TINY['steps_per_frame'] * bytes_per_step(config['spike_h'], config['spike_w'])


def test_a_longer_exposure_moves_the_scene_further():
    scenes = [
        demo.demo_scene(demo.clip_rng(recipe, 'train', 0), recipe, 'train', 0)
        for recipe in (DemoRecipe(), DemoRecipe(speed=2.0))
    ]
    slow, fast = (scene.flow(0.0, 0.5) for scene in scenes)
    assert np.hypot(*fast).mean() == pytest.approx(2 * np.hypot(*slow).mean(), rel=0.2)


def test_the_recipe_of_older_demos_is_unchanged():
    """Their config.yaml knows no parameters that came later."""
    known = ['seed', 'train_clips', 'val_clips', 'frames', 'size', 'steps_per_frame', 'threshold']
    assert list(DemoRecipe().parameters()) == known
