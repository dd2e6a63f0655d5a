"""The config that comes out: it loads, it is what was measured, and it says why."""

import re
from pathlib import Path

import pytest

from vrtspike.config import load_config
from vrtspike.tuner.output_config import GIVEN, reasons_of, write_child

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / 'configs/vrt_spike_tiny.py')


def written(tmp_path, overrides, reasons=None, base=TINY):
    path = tmp_path / 'out' / 'tiny_optimized.py'
    text = write_child(path, base, overrides, reasons or {}, 'Tiny, faster.')
    assert path.read_text() == text
    return path, text


@pytest.mark.parametrize(
    'overrides',
    [
        {},
        {'model.tsa.max_batch_tokens': 65535, 'model.tsa.chunk_size': 256},
        {'optim_wrapper.type': 'DeviceAmpOptimWrapper', 'optim_wrapper.dtype': 'bfloat16'},
        {'model.backbone': {'_delete_': True, 'type': 'VRTLite'}, 'default_hooks.freeze.names': ['backbone.flow']},
        {'model.tsa': None, 'model.backbone.depths': [1] * 8, 'model.backbone.checkpointing': 'none'},
        {'data.root': '/nowhere', 'train_dataloader.num_workers': 3},
        {'model.tsa': {'_delete_': True, 'type': 'TemporalConvolution'}},
    ],
)
def test_the_file_is_the_config_that_was_measured(tmp_path, overrides):
    path, _ = written(tmp_path, overrides)
    assert load_config(path).pretty_text == load_config(TINY, overrides=overrides).pretty_text


def test_what_cpu_overrides_would_set_back_is_set_there_too(tmp_path):
    base = str(ROOT / 'configs/vrt_spike_baseline.py')
    overrides = {'train_dataloader.num_workers': 2, 'train_dataloader.persistent_workers': False}
    path, text = written(tmp_path, overrides, dict.fromkeys(overrides, 'data_workers_2: because'), base)
    assert load_config(path, cpu_overrides=True).train_dataloader.num_workers == 2
    assert load_config(path, cpu_overrides=True).train_dataloader.batch_size == 1
    assert load_config(path).train_dataloader.num_workers == 2
    assert "# data_workers_2: because\ncpu_overrides = {'train_dataloader.num_workers': 2}" in text


def test_only_what_differs_is_written(tmp_path):
    _, text = written(tmp_path, {'model.backbone.depths': [2, 2, 2, 2, 1, 1, 1, 1], 'model.tsa.chunk_size': 256})
    assert 'depths' not in text
    assert text.splitlines()[3:] == ['model = dict(tsa=dict(chunk_size=256))']


def test_each_line_has_its_reason(tmp_path, single, difference):
    kept = single('chunks', 'amp') + single('shallow', difference_db=difference(-0.05))
    overrides = {key: value for trial in kept for key, value in trial.overrides.items()} | {'data.root': '/x'}
    overrides['model.backbone.depths'] = [1] * 8
    reasons = {'data.root': GIVEN, **reasons_of(kept, {})}
    path, text = written(tmp_path, overrides, reasons)
    load_config(path)
    lines = [line.strip() for line in text.splitlines()]
    above = {line.split('=')[0].strip(): lines[i - 1] for i, line in enumerate(lines) if '=' in line}
    assert above['chunk_size'] == '# chunks: +50% of the time saved alone (+49% to +51%), the same function'
    assert above['depths'] == '# shallow: +40% of the time saved alone (+39% to +41%), -0.05 dB [-0.15, +0.05]'
    assert above['root'] == '# set on the command line'
    # The default has AMP already: its lines would change the element type alone.
    assert not re.search(r'type=', text)
    assert all(len(line) <= 120 for line in text.splitlines())


def test_a_reason_for_several_lines_stands_once(tmp_path):
    overrides = {'model.tsa.chunk_size': 256, 'model.tsa.max_batch_tokens': 65535}
    _, text = written(tmp_path, overrides, dict.fromkeys(overrides, 'chunks: because'))
    assert text.count('# chunks: because') == 1
