import re

from vrtspike.config.legacy import RULES


def test_every_key_has_a_row_that_says_something(tmp_path, update):
    (tmp_path / 'docs').mkdir()
    page = tmp_path / 'docs/migration.md'
    page.write_text('before\n<!-- legacy:begin -->\n<!-- legacy:end -->\nafter\n')
    assert list(map(str, update('legacy', tmp_path))) == ['docs/migration.md: legacy']
    rows = dict(re.findall(r'^\| `([\w.]+)` \| (.+) \|$', page.read_text(), re.MULTILINE))
    assert list(rows) == list(RULES)
    assert rows['TRAIN.OPTIM.LR'] == '`optim_wrapper.optimizer.lr`'
    assert rows['MODEL.FUSE.TYPE'] == 'had no effect'
    assert rows['TRAIN.AMP_ENABLED'] == 'had no effect; `optim_wrapper.type`'
    assert rows['DATA.SPIKE_DIR'].startswith("only 'spike'")
    assert rows['TRAIN.EPOCHS'].startswith('trainings are counted in iterations')
    assert page.read_text().startswith('before\n')
