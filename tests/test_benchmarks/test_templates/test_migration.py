import re
from pathlib import Path

from vrtspike.config.legacy import RULES

ROOT = Path(__file__).resolve().parents[3]


def test_every_key_has_a_row_that_says_something():
    text = (ROOT / 'docs/migration.md').read_text(encoding='utf-8')
    rows = dict(re.findall(r'^\| `([A-Z][\w.]+)` \| (.+) \|$', text, re.MULTILINE))
    assert list(rows)[: len(RULES)] == list(RULES)
    assert rows['TRAIN.EPOCHS'].startswith('trainings are counted in iterations')
