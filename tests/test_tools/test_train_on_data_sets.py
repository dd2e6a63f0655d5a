"""Trains from every layout as users do, on miniature data sets: one line of the config selects the data."""

import ast
import json
import shutil
from pathlib import Path

import pytest
from tiny_networks import TRAINING
from tool_processes import run_tool

from vrtspike.testing.data_sets import write_gopro, write_recordings, write_rgb, write_ssdm, write_x4k

ROOT = Path(__file__).parents[2]
SMALL = TRAINING | {
    'train_cfg.max_iters': 2,
    'val_dataloader.dataset.pipeline.0.size': 16,
}


def train(tmp_path, **options):
    """Train the tiny network for two iterations; return the finished process."""
    return run(tmp_path, ['configs/vrt_spike_tiny.py', '--cfg-options'], {**SMALL, **options})


def run(tmp_path, arguments, options):
    """Run train.py in the folder of the project with further options; return the finished process."""
    options = [f'{key}={value}' for key, value in options.items()]
    return run_tool('train', *arguments, *options, '--work-dir', tmp_path / 'run', cwd=ROOT)


def report_of(process, tmp_path):
    assert process.returncode == 0, process.stdout[-1000:] + process.stderr[-3000:]
    return json.loads((tmp_path / 'run' / 'report.json').read_text())


def test_gopro_spike(tmp_path):
    root = write_gopro(tmp_path / 'data', frames=5)
    options = {'data.type': 'GoProSpike', 'data.root': root, 'data.spike_size': '[32,32]'}
    report = report_of(train(tmp_path, **options), tmp_path)
    assert report['iterations'] == 2
    assert [clip['clip'] for clip in report['validation']['clips']] == ['GOPR0384_11_00/000001']
    # Played back, the spikes show the scene, at half the resolution and blurred by the exposure.
    assert report['validation']['mean']['tfp_psnr_db'] > 15


def test_x4k_spike_with_a_sample_that_cannot_be_read(tmp_path):
    root = write_x4k(tmp_path / 'data', 33)
    # Behind the first frame, whose header is checked when training starts.
    (root / 'train_fullRGB' / '002' / 'occ008' / '0099.png').write_bytes(b'no image')
    options = {'data.type': 'X4KSpike', 'data.root': root, 'data.steps': 33, 'train_cfg.max_iters': 4}
    options |= {'train_dataloader.dataset.on_bad_sample': 'skip'}
    process = train(tmp_path, **options)
    report = report_of(process, tmp_path)
    # Two of the four clips hold the frame, and four iterations draw each clip once; substitutes may hit it again.
    assert report['skipped_samples'] >= 2
    assert '0099.png is damaged' in process.stdout
    assert f'{report["skipped_samples"]} samples were skipped' in process.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ('write', 'options'),
    [
        (lambda root: write_gopro(root, 'svrt'), {'data.type': 'GoProSpike', 'data.spike_size': '[32,32]'}),
        (lambda root: write_x4k(root, 65), {'data.type': 'X4KSpike', 'data.steps': 65}),
        (
            write_recordings,
            {'data.type': 'SpikeCVRecording', 'data.steps_per_frame': 40, 'data.train': '[one]', 'data.val': '[two]'},
        ),
        (write_rgb, {'data.type': 'RGBClips', 'model.fusion': 'None'}),
        (write_ssdm, {'data.type': 'SSDMGoPro', 'data.spike_size': '[16,16]'}),
    ],
    ids=['svrt', 'x4k65', 'spikecv', 'rgb', 'ssdm'],
)
def test_every_other_layout(tmp_path, write, options):
    report = report_of(train(tmp_path, **{'data.root': write(tmp_path / 'data')}, **options), tmp_path)
    assert report['iterations'] == 2
    assert ('tfp_psnr_db' in report['validation']['mean']) is (options['data.type'] != 'RGBClips')


def without(pattern, write):
    """Return a function that writes a data set and removes what matches ``pattern``."""

    def write_part(root):
        write(root)
        for path in list(root.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return root

    return write_part


@pytest.mark.slow
@pytest.mark.parametrize(
    ('write', 'options'),
    [
        (without('GOPRO_Large_spike_seq', write_gopro), {'data.type': 'GoProSpike'}),
        (without('*_spike_*', write_x4k), {'data.type': 'X4KSpike'}),
        (
            write_recordings,
            {'data.type': 'SpikeCVRecording', 'data.steps_per_frame': 40, 'data.train': '[two]', 'data.val': '[one]'},
        ),
        (write_rgb, {'data.type': 'ProcessedClips'}),
    ],
    ids=['gopro', 'x4k', 'spikecv', 'processed'],
)
def test_a_network_without_fusion_trains_on_every_layout_without_spikes(tmp_path, write, options):
    options = {'data.root': write(tmp_path / 'data'), 'model.fusion': 'None', **options}
    report = report_of(train(tmp_path, **options), tmp_path)
    assert report['iterations'] == 2
    assert report['validation']['mean']['psnr_db'] > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    'name', ['005_vrt_videodeblurring_dvd', '006_vrt_videodeblurring_gopro', '007_vrt_videodeblurring_reds']
)
def test_the_command_of_a_published_config_runs_as_written(tmp_path, name):
    docstring = ast.get_docstring(ast.parse((ROOT / f'configs/vrt/{name}.py').read_text()))
    command = docstring[docstring.index('python tools/train.py') :].partition('\n\n')[0].replace('\\\n', ' ').split()
    root = write_rgb(tmp_path / 'data')
    arguments = [f'data.root={root}' if word.startswith('data.root=') else word for word in command[2:]]
    small = {
        'model.backbone.depths': str([1] * 11).replace(' ', ''),
        'train_cfg.max_iters': 1,
        'default_hooks.flops': 'None',
        'default_hooks.network_summary': 'None',
    }
    report = report_of(run(tmp_path, arguments, small), tmp_path)
    assert report['iterations'] == 1
    assert [clip['clip'] for clip in report['validation']['clips']] == ['val_video/00000']


@pytest.mark.slow
def test_clips_without_spikes_do_not_train_a_network_that_fuses_them(tmp_path):
    process = train(tmp_path, **{'data.type': 'RGBClips', 'data.root': write_rgb(tmp_path / 'data')})
    assert process.returncode == 1
    assert 'Traceback' not in process.stderr
    assert 'this network uses spikes, but the data have none: use data with spikes' in process.stderr
