import json
import sys

RECORD = {'type': 'RunRecordHook'}
CHECKPOINT = {'default_hooks': {'checkpoint': {'type': 'SafeCheckpointHook', 'interval': 1}}}


def test_every_start_is_told(make_runner, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/train.py', 'a config.py'])
    make_runner(2, hooks=[RECORD], **CHECKPOINT).train()
    saved = str(tmp_path / 'run' / 'iter_1.pth')
    make_runner(2, hooks=[RECORD], load_from=saved, resume=True, **CHECKPOINT).train()
    first, second = json.loads((tmp_path / 'run/run.json').read_text())['starts']
    assert first['command'].endswith(" tools/train.py 'a config.py'")
    assert (first['from_iteration'], first['from_checkpoint']) == (0, None)
    assert (second['from_iteration'], second['from_checkpoint']) == (1, saved)
    assert first['data']['train']['clips'] == 3
    assert first['effective_batch'] == 2
    assert first['processes'] == 1
    assert first['versions']['torch']
    assert first['seed'] == 0
    assert {'time', 'folder', 'host', 'config', 'device', 'commit'} <= first.keys()
