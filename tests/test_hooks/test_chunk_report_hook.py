"""The log says how many chunks each part used, once for training and once for validation."""

import torch
from torch import nn

from vrtspike.hooks.chunk_report_hook import chunk_report
from vrtspike.models.tsa import TemporalSelfAttention
from vrtspike.testing import check_hook, tiny_restorer
from vrtspike.testing.training import train_briefly


def log_of(runner):
    for handler in runner.logger.handlers:
        handler.flush()
    with open(f'{runner.log_dir}/{runner.timestamp}.log', encoding='utf-8') as file:
        return file.read()


def test_changes_nothing_of_training():
    check_hook(dict(type='ChunkReportHook'))


def test_tells_once_what_training_and_what_validation_did(tmp_path):
    log = log_of(train_briefly(tmp_path, [dict(type='ChunkReportHook')], iterations=2))
    for mode in ('training', 'validation'):
        assert log.count(f'Chunks in {mode}') == 1
    assert log.count('fusion.stage1 ') == 2
    assert log.count('tsa.scale3 ') == 2


def test_parts_without_chunks_are_not_spoken_of(tmp_path):
    model = tiny_restorer(fusion='GatedFusion', tsa='IdentityTSA')
    log = log_of(train_briefly(tmp_path, [dict(type='ChunkReportHook')], iterations=1, model=model))
    assert 'Chunks in' not in log


def test_a_table_has_a_row_per_part_that_has_run():
    model = nn.ModuleDict({'a': TemporalSelfAttention(4, chunk_size=8, max_batch_tokens=999), 'b': nn.Identity()})
    assert chunk_report(model, 'Chunks') == ''
    model['a'](torch.zeros(2, 4, 1, 16, 16))
    title, _, heading, _, row, *idle = chunk_report(model, 'Chunks').splitlines()
    assert title.strip() == 'Chunks'
    assert heading.split() == ['part', 'B', 'map', 'chunk', 'chunks', 'sized', 'by']
    assert row.split() == ['a', '2', '16x16', '8x8', '4', 'rules']
    assert len(idle) == 1
    assert 'TemporalSelfAttention: max_batch_tokens=999 changes nothing' in idle[0]
