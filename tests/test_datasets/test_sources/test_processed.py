import inspect
import shutil
from dataclasses import asdict

import cv2
import numpy as np
import pytest
import yaml

from tests.test_datasets.conftest import TINY
from vrtspike.datasets import (
    BinSpikes,
    ClipDataset,
    DropSpikes,
    PackClip,
    PairedCenterCrop,
    PairedRandomCrop,
    PairedRandomFlip,
    RandomThreshold,
    RGBClips,
)
from vrtspike.datasets.io.images import read_image
from vrtspike.datasets.simulation.demo import DemoRecipe, write_demo
from vrtspike.datasets.sources import processed as sources
from vrtspike.datasets.sources.processed import DemoClips, ProcessedClips
from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import CLIP_SOURCES
from vrtspike.testing.data_sets import write_gopro, write_rgb


def edit_config(root, **changes):
    path = root / 'config.yaml'
    config = {**yaml.safe_load(path.read_text()), **changes}
    path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))


def test_sequences_are_listed_in_order(tiny_demo):
    source = CLIP_SOURCES.build({'type': 'ProcessedClips', 'root': str(tiny_demo)})
    sequences = source.sequences('val')
    assert [sequence.name for sequence in sequences] == ['000_chelsea', '001_coffee']
    assert sequences[0].stems.tolist() == ['00000', '00001', '00002', '00003']
    assert (sequences[0].spike_size, sequences[0].threshold, sequences[0].file_steps) == ((16, 16), 1.0, 16)
    assert sequences[0].image_path('blur', '00001').is_file()
    assert sequences[0].spike_path('00001').is_file()


def test_arguments_win_over_the_config(tiny_demo):
    sequence = ProcessedClips(tiny_demo, spike_size=[8, 32], threshold=2).sequences('val')[0]
    assert (sequence.spike_size, sequence.threshold) == ((8, 32), 2.0)


def test_a_data_set_without_config_needs_both_arguments(tiny_copy):
    (tiny_copy / 'config.yaml').unlink()
    assert ProcessedClips(tiny_copy, (16, 16), 1.0).sequences('val')[0].file_steps is None
    with pytest.raises(DataError, match=r"'spike_h' is missing in .*config\.yaml.*spike_size="):
        ProcessedClips(tiny_copy, threshold=1.0)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'threshold': None}, "'threshold' is missing"),
        ({'threshold': float('nan')}, "'threshold' is nan"),
        ({'spike_w': '16'}, "'spike_w' is '16'"),
        ({'steps_per_frame': 0}, "'steps_per_frame' is 0"),
        ({'light': 'log'}, "'light' is 'log'"),
    ],
)
def test_bad_keys_of_the_config_are_named(tiny_copy, changes, message):
    edit_config(tiny_copy, **changes)
    with pytest.raises(DataError, match=message):
        ProcessedClips(tiny_copy)


def test_light_is_linear_unless_the_config_names_another(tiny_copy):
    assert ProcessedClips(tiny_copy).sequences('val')[0].light == 'linear'
    edit_config(tiny_copy, light='encoded')
    assert ProcessedClips(tiny_copy).sequences('val')[0].light == 'encoded'
    assert ProcessedClips(tiny_copy, light='linear').sequences('val')[0].light == 'linear'


def test_another_light_than_that_of_the_spikes_is_an_error(tiny_copy):
    assert ClipDataset(ProcessedClips(tiny_copy), 'val', clip_len=2)[0]['meta']['light'] == 'linear'
    with pytest.raises(DataError, match='threshold: 1 and light: encoded, but the spikes'):
        ClipDataset(ProcessedClips(tiny_copy, light='encoded'), 'val', clip_len=2)


@pytest.mark.parametrize(('text', 'message'), [('a: [', 'not valid YAML'), ('- 1', 'contains list')])
def test_a_damaged_config_is_named(tiny_copy, text, message):
    (tiny_copy / 'config.yaml').write_text(text)
    with pytest.raises(DataError, match=message):
        ProcessedClips(tiny_copy)


def test_a_missing_root_says_how_to_prepare_one(tmp_path):
    with pytest.raises(DataError, match=r'none does not exist: prepare it as ROOT/\{train,val\}.*DemoClips'):
        ProcessedClips(tmp_path / 'none')


def test_a_missing_split_is_named_and_may_have_another_name(tiny_copy):
    (tiny_copy / 'val').rename(tiny_copy / 'test')
    with pytest.raises(DataError, match=r"val is missing: split 'val'"):
        ProcessedClips(tiny_copy).sequences('val')
    assert len(ProcessedClips(tiny_copy, val='test').sequences('val')) == 2


def test_without_spikes_neither_their_files_nor_the_config_are_needed(tiny_copy):
    (tiny_copy / 'config.yaml').unlink()
    shutil.rmtree(tiny_copy / 'train' / '000_astronaut' / 'spike')
    dataset = ClipDataset(ProcessedClips(tiny_copy, spikes=False), 'train', clip_len=2)
    assert set(dataset[0]) == {'blur', 'sharp', 'meta', 'rng'}


def test_a_spike_size_that_is_no_pair_is_refused(tiny_demo):
    with pytest.raises(ConfigError, match=r'ProcessedClips: spike_size=16; expected \(height, width\)'):
        ProcessedClips(tiny_demo, spike_size=16)


def test_demo_clips_are_written_when_absent(tmp_path):
    options = {'train_clips': 1, 'val_clips': 1, 'frames': 1, 'size': 16, 'steps_per_frame': 4, 'progress': False}
    source = DemoClips(tmp_path / 'deep' / 'demo', **options)
    assert [sequence.name for sequence in source.sequences('train')] == ['000_astronaut']
    assert source.sequences('train')[0].file_steps == 4


def test_every_process_finds_the_folder_of_a_demo_with_other_parameters(monkeypatch, tiny_copy):
    recipe = {'train_clips': 1, 'val_clips': 1, 'frames': 1, 'size': 16, 'steps_per_frame': 4, 'progress': False}
    written = DemoClips(tiny_copy, **recipe)
    assert written.root != tiny_copy
    assert written.sequences('train')[0].file_steps == 4
    monkeypatch.setattr(sources, 'is_main_process', lambda: False)
    assert DemoClips(tiny_copy, **recipe).root == written.root


def test_only_the_main_process_writes_and_all_meet(monkeypatch, tiny_demo):
    met = []
    monkeypatch.setattr(sources, 'barrier', lambda: met.append(True))
    monkeypatch.setattr(sources, 'is_main_process', lambda: False)
    monkeypatch.setattr(sources, 'write_demo', lambda *_, **__: pytest.fail('a second process wrote'))
    recipe = {'train_clips': 2, 'val_clips': 2, 'frames': 4, 'size': 32, 'steps_per_frame': 16}
    assert DemoClips(tiny_demo, **recipe).root == tiny_demo
    monkeypatch.setattr(sources, 'is_main_process', lambda: True)
    monkeypatch.setattr(sources, 'write_demo', write_demo)
    with pytest.raises(DataError, match='contains something other than demo clips'):
        DemoClips(tiny_demo / 'train', **recipe)
    assert met == [True, True]


def test_demo_clips_take_the_recipe_with_its_defaults():
    parameters = inspect.signature(DemoClips).parameters.values()
    options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert options == asdict(DemoRecipe()) | {'progress': True, 'spikes': True, 'sharp': 'sharp'}


@pytest.fixture(scope='module')
def rgb(tmp_path_factory):
    return write_rgb(tmp_path_factory.mktemp('rgb'))


def test_the_whole_pipeline_passes_clips_without_spikes(rgb):
    pipeline = [PairedRandomCrop(20), PairedRandomFlip(), RandomThreshold(), DropSpikes(), BinSpikes()]
    dataset = ClipDataset(RGBClips(rgb), 'train', pipeline=[*pipeline, PairedCenterCrop(16), PackClip()])
    sample = dataset[0]
    assert set(sample) == {'blur', 'sharp', 'meta'}
    assert sample['blur'].shape == sample['sharp'].shape == (5, 3, 16, 16)
    assert sample['meta'] == {'name': 'train_video', 'index': 0, 'first_frame': '00000'}


def test_gopro_without_its_spikes(tmp_path):
    source = RGBClips(write_gopro(tmp_path) / 'GOPRO_Large', val='test', blur='blur_gamma')
    assert len(ClipDataset(source, 'val')) == 2


def test_frames_of_two_sizes_are_named(rgb, tmp_path):
    copy = shutil.copytree(rgb, tmp_path / 'copy')
    cv2.imwrite(str(copy / 'train' / 'train_video' / 'sharp' / '00000.png'), np.zeros((32, 64, 3), np.uint8))
    with pytest.raises(DataError, match=r'blur/00000\.png has 64 x 64, .*sharp/00000\.png has 32 x 64 pixels'):
        ClipDataset(RGBClips(copy), 'train')


def test_missing_frames_and_splits_are_named(rgb, tmp_path):
    copy = shutil.copytree(rgb, tmp_path / 'copy')
    (copy / 'train' / 'train_video' / 'sharp' / '00002.png').unlink()
    with pytest.raises(DataError, match=r'6 in blur, 5 in sharp[\s\S]*00002\.png is missing'):
        ClipDataset(RGBClips(copy), 'train')
    with pytest.raises(DataError, match='held_out is missing'):
        RGBClips(rgb, val='held_out').sequences('val')


@pytest.mark.parametrize('suffixes', [('.JPG', '.JPG'), ('.jpeg', '.png'), ('.png', '.PNG')])
def test_frames_of_any_suffix_are_found(rgb, tmp_path, suffixes):
    copy = shutil.copytree(rgb, tmp_path / 'copy')
    for kind, suffix in zip(('blur', 'sharp'), suffixes, strict=True):
        for path in copy.glob(f'*/*/{kind}/*.png'):
            cv2.imwrite(str(path.with_suffix('.aside' + suffix)), cv2.imread(str(path)))
            path.unlink()
    dataset = ClipDataset(RGBClips(copy), 'train')
    assert dataset[0]['sharp'].shape == (5, 64, 64, 3)


def test_sequences_of_different_lengths(rgb, tmp_path):
    copy = shutil.copytree(rgb, tmp_path / 'copy')
    shorter = shutil.copytree(copy / 'train' / 'train_video', copy / 'train' / 'shorter')
    for path in shorter.glob('*/00005.png'):
        path.unlink()
    assert len(ClipDataset(RGBClips(copy), 'train')) == 1 + 2
    with pytest.raises(DataError, match='shorter has 5 frames, fewer than clip_len=6'):
        ClipDataset(RGBClips(copy), 'train', clip_len=6)


def test_splits_that_number_their_sequences_independently_share_no_frames(rgb, tmp_path):
    copy = shutil.copytree(rgb, tmp_path / 'copy')
    (copy / 'train' / 'train_video').rename(copy / 'train' / '000')
    val = (copy / 'val' / 'val_video').rename(copy / 'val' / '000')
    for path in val.glob('*/*.png'):
        cv2.imwrite(str(path), cv2.flip(cv2.imread(str(path)), 1))
    assert len(ClipDataset(RGBClips(copy), 'train')) == 2
    shutil.rmtree(val)
    val.symlink_to(copy / 'train' / '000')
    with pytest.raises(DataError, match="'000' is in both train and val"):
        ClipDataset(RGBClips(copy), 'train')


def test_equal_frames_of_several_numbered_sequences_do_not_tell_which_one_it_is(rgb, tmp_path):
    copy = shutil.copytree(rgb, tmp_path / 'copy')
    video = (copy / 'train' / 'train_video').rename(copy / 'train' / '000')
    val = (copy / 'val' / 'val_video').rename(copy / 'val' / '000')
    shutil.copytree(video, copy / 'train' / '001')
    assert len(ClipDataset(RGBClips(copy), 'train')) == 4
    shutil.rmtree(val)
    val.symlink_to(video)
    with pytest.raises(DataError, match="'000' is in both train and val"):
        ClipDataset(RGBClips(copy), 'train')


def test_a_sequence_without_frames_names_the_files_that_were_expected(rgb):
    with pytest.raises(DataError, match=r'train_video has no frames: expected .*blur/\*\.JPG, .*sharp/\*\.JPG$'):
        ClipDataset(RGBClips(rgb, image_suffix='.JPG'), 'train')


def test_sharp_frames_of_other_instants_are_targets(tmp_path):
    root = write_demo(tmp_path / 'demo', **TINY, sharp_instants=(0, 0.25, 0.5, 1), progress=False)
    plain = write_demo(tmp_path / 'plain', **TINY, progress=False)
    for path in plain.rglob('*.*'):
        if path.name != 'config.yaml':
            assert path.read_bytes() == (root / path.relative_to(plain)).read_bytes()
    source = ProcessedClips(root)
    assert source.sequences('val')[0].target_instants == (0, 0.25, 0.5, 1)
    data = ClipDataset(source, 'val', clip_len=2, stride=2, instants='targets')
    assert len(data) == 2 * 2 * 4
    samples = [data[i] for i in range(4, 8)]
    assert {sample['meta']['first_frame'] for sample in samples} == {'00002'}
    names = ['00002@0', '00002@0.25', '00002', '00002@1']
    for sample, name, instant in zip(samples, names, (0, 0.25, 0.5, 1), strict=True):
        folder = root / 'val' / sample['meta']['name']
        np.testing.assert_array_equal(sample['sharp'][0], read_image(folder / 'sharp' / f'{name}.png'))
        assert sample['instant'].tolist() == [instant] * 2
    with pytest.raises(DataError, match=r'no sharp frames of the instant 0\.75, only of 0, 0\.25, 0\.5, 1'):
        ClipDataset(source, 'val', clip_len=2, instants=[0.75])[0]


def test_spikes_beside_an_exposure_come_from_the_files_of_its_neighbours(tmp_path):
    root = write_demo(tmp_path / 'demo', **TINY, sharp_instants=(0,), progress=False)
    data = ClipDataset(ProcessedClips(root), 'val', clip_len=4, instants=[0])
    sample = data.read(0, 0.0)
    recording = np.concatenate(np.asarray(ClipDataset(ProcessedClips(root), 'val', clip_len=4).read(0)['spikes']))
    spikes = np.asarray(sample['spikes'])
    assert sample['margin'] == 8
    assert sample['known'].sum(axis=1).tolist() == [24, 32, 32, 24]
    np.testing.assert_array_equal(spikes[1], recording[8:40])
    np.testing.assert_array_equal(spikes[3, :24], recording[40:])
    assert not spikes[3, 24:].any()
    np.testing.assert_array_equal(np.asarray(sample['spikes'][..., 2:4, 3:9]), spikes[..., 2:4, 3:9])


def test_an_instant_of_some_frames_only_is_refused(tmp_path):
    root = write_demo(tmp_path / 'demo', **TINY, sharp_instants=(0,), progress=False)
    next(root.glob('val/*/sharp/00001@0.png')).unlink()
    with pytest.raises(DataError, match='for 3 of 4 frames, but not for 00001'):
        ProcessedClips(root).sequences('val')
