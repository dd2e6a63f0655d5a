"""The log says how many chunks each part used, once for training and once for validation."""

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
