import json
import re
import shutil
from pathlib import Path

import msgspec
import pytest
from shipped_networks import made_up_card

from vrtspike.errors import VrtSpikeError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path):
    """A checkout with what the page needs, and one record."""
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    (tmp_path / 'benchmarks/zoo').mkdir(parents=True)
    shutil.copy(ROOT / 'benchmarks/zoo/tiny.json', tmp_path / 'benchmarks/zoo')
    return tmp_path


def test_a_changed_record_changes_the_page(checkout, render):
    record = checkout / 'benchmarks/zoo/tiny.json'
    results = json.loads(record.read_text())
    results['mean_of_clips']['psnr_db'] = 99.0
    record.write_text(json.dumps(results))
    assert '| 99.00 |' in render('docs/model_zoo.md', checkout)


def test_networks_stand_best_first(checkout, render):
    results = json.loads((checkout / 'benchmarks/zoo/tiny.json').read_text())
    results['mean_of_clips']['psnr_db'] = 99.0
    (checkout / 'benchmarks/zoo/lite.json').write_text(json.dumps(results))
    text = render('docs/model_zoo.md', checkout)
    assert re.findall(r'^## (\w+)$', text, re.MULTILINE) == ['lite', 'tiny']
    assert re.findall(r'^\| \[(\w+)\]', text, re.MULTILINE) == ['lite', 'tiny']


def test_a_record_without_a_config_is_refused(checkout, render):
    (checkout / 'benchmarks/zoo/tiny.json').rename(checkout / 'benchmarks/zoo/unknown.json')
    with pytest.raises(VrtSpikeError, match='has no config'):
        render('docs/model_zoo.md', checkout)


@pytest.fixture
def with_card(checkout):
    """The checkout with a model card, and a function that changes it."""

    def write(**changes):
        path = checkout / 'vrtspike/models/pretrained/deblur.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(made_up_card(), **changes)))
        return checkout

    return write


def test_the_model_card_is_shown(with_card, render):
    text = render('docs/model_zoo.md', with_card())
    assert 'The repository contains one checkpoint, [the network that ships](#the-network-that-ships)' in text
    row = '| held-out demo clips | 6 | `published` | 25.50 | 27.75 | 31.25 | +5.75 | 0.9000 | 2x: 31.00 (-0.25) |'
    assert row in text.splitlines()
    for fact in ('`python tools/train.py configs/vrt_spike_lite.py`; 3,000 iterations on `DemoClips`', '0' * 64):
        assert fact in text


def test_the_model_card_names_settings_that_differ(with_card, render):
    text = render('docs/model_zoo.md', with_card(changed=['data', 'train_cfg'], commit=None))
    assert 'configs/vrt_spike_lite.py`, with other values of `data`, `train_cfg` than this config has; 3,000' in text
    assert 'torch 2.13.0.\n' in text


def test_without_a_network_there_is_no_model_card(checkout, render):
    text = render('docs/model_zoo.md', checkout)
    assert 'The repository contains no checkpoints' in text
    assert 'The network that ships' not in text


def test_what_tiling_costs_is_what_was_measured():
    whole, tiled = (
        json.loads((ROOT / path).read_text())
        for path in ('benchmarks/zoo/tiny.json', 'benchmarks/tiling/tiny_tile64.json')
    )
    assert whole['checkpoint_sha256'] == tiled['checkpoint_sha256']
    rows = [(a['clip'], a, b) for a, b in zip(whole['clips'], tiled['clips'], strict=True)]
    rows.append(('mean', whole['mean_of_clips'], tiled['mean_of_clips']))
    expected = [
        f'| {name} | {a["psnr_db"]:.3f} | {b["psnr_db"]:.3f} | {b["psnr_db"] - a["psnr_db"]:+.3f} |'
        for name, a, b in rows
    ]
    text = (ROOT / 'docs/restore.md').read_text(encoding='utf-8')
    assert re.findall(r'^\| (?:\d{3}_\w+|mean) \|.*\|$', text, re.MULTILINE) == expected
    assert all(a['psnr_db'] - b['psnr_db'] <= 0.1 for _, a, b in rows)
