"""Facts of the code: what the pins of other tests say, where both exist."""

import re
from pathlib import Path

import pytest
from rendering.code_facts import CodeFacts, legacy_counterpart

ROOT = Path(__file__).resolve().parents[3]
LITE, BASELINE = 'configs/vrt_spike_lite.py', 'configs/vrt_spike_baseline.py'


@pytest.fixture(scope='module')
def code():
    return CodeFacts(ROOT)


def test_parameters(code):
    assert code.parameters(LITE) == 727_141
    assert code.parameters(LITE, 'backbone') == 711_173
    assert code.parameters(BASELINE) - code.parameters(BASELINE, 'backbone') == 5_411_712
    assert code.encoder_parameters('SpikeEncoder3D') == 4_812_672


def test_arithmetic(code):
    assert f'{code.macs(LITE) / 1e9:.1f}' == '6.6'


def test_a_network_is_built_once(code, monkeypatch):
    first = code.network(LITE)
    monkeypatch.setattr('rendering.code_facts.load_config', lambda *arguments: pytest.fail('loaded again'))
    assert code.network(LITE) is first


def test_the_page_has_every_config_with_its_parameters(code):
    text = (ROOT / 'docs/vrt.md').read_text(encoding='utf-8')
    rows = re.findall(r'^\| `(configs/\S+)` \| ([\d,]+) \| ([\d,]+) \|$', text, re.MULTILINE)
    assert sorted(rows) == [
        (config, f'{code.parameters(config, "backbone"):,}', f'{code.parameters(config):,}')
        for config in sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/*.py'))
    ]


@pytest.mark.parametrize(
    ('key', 'counterpart'),
    [
        ('TRAIN.OPTIM.LR', '`optim_wrapper.optimizer.lr`'),
        ('MODEL.FUSE.TYPE', 'had no effect'),
        ('TRAIN.AMP_ENABLED', 'had no effect; `optim_wrapper.type`'),
        ('DATA.SPIKE_DIR', "only 'spike': no other value has a counterpart"),
        ('DATALOADER.PIN_MEMORY', '`train_dataloader.pin_memory`, `val_dataloader.pin_memory`'),
    ],
)
def test_what_became_of_keys_of_earlier_configs(key, counterpart):
    assert legacy_counterpart(key) == counterpart
