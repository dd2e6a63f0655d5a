"""The command that makes the shipped network, on a small untrained one."""

import json
from pathlib import Path

import pytest
import torch
from ship import config_text, data_and_path, ship, source_names

from vrtspike.config import load_config
from vrtspike.config.speed import fuse_optimizer
from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.inference.loading import file_sha256, load_restorer
from vrtspike.records.model_card import card_path, read_card
from vrtspike.registry import MODELS

ROOT = Path(__file__).parents[2]
RECORD = ROOT / 'benchmarks/zoo/tiny.json'
CONFIG = """
_base_ = '{root}/configs/vrt_spike_lite.py'
model = dict(backbone=dict(embed_dims=[8] * 7, depths=[0] * 7), spike_encoder=dict(channels=8))
"""


@pytest.fixture
def config(tmp_path):
    """The path of a small config."""
    path = tmp_path / 'small.py'
    path.write_text(CONFIG.format(root=ROOT))
    return str(path)


@pytest.fixture
def checkpoint(config, tmp_path):
    """A checkpoint of its network, with what restoring does not need."""
    return save(load_config(config), tmp_path / 'iter_7.pth')


@pytest.fixture
def results(checkpoint, tmp_path):
    """A function that writes the results of testing the checkpoint, with changes, and returns them as scores."""

    def write(**changes):
        found = json.loads(RECORD.read_text()) | {'checkpoint_sha256': file_sha256(checkpoint)} | changes
        (tmp_path / 'results.json').write_text(json.dumps(found))
        return {'held-out demo clips': tmp_path / 'results.json'}

    return write


def save(config, path):
    model = MODELS.build(config.model)
    meta = {'cfg': config.pretty_text, 'iter': 7, 'seed': 0}
    torch.save({'state_dict': model.state_dict(), 'meta': meta, 'optimizer': {'state': {}}}, path)
    return path


def test_the_file_has_what_restoring_needs(config, checkpoint, results, tmp_path):
    out = tmp_path / 'package/deblur.pth'
    ship(config, checkpoint, results(), out)
    shipped = torch.load(out, weights_only=True)
    assert {name: list(node) for name, node in shipped.items() if name != 'state_dict'} == {
        'meta': ['cfg', 'iter', 'versions']
    }
    for name, tensor in torch.load(checkpoint, weights_only=True)['state_dict'].items():
        assert torch.equal(shipped['state_dict'][name], tensor), name
    _, read = load_restorer(out, device='cpu')
    assert sorted(read) == ['default_scope', 'model', 'val_dataloader']
    assert 'loss' not in read.model
    assert sorted(read.val_dataloader.dataset) == ['clip_len', 'pipeline', 'type']
    assert sorted(path.name for path in out.parent.iterdir()) == ['deblur.json', 'deblur.pth']


def test_the_card_states_its_facts(config, checkpoint, results, tmp_path):
    out, scores = tmp_path / 'deblur.pth', results()
    card = ship(config, checkpoint, scores | {'other clips': scores['held-out demo clips']}, out)
    assert read_card(card_path(out)) == card
    record = json.loads(RECORD.read_text())
    assert (card.name, card.sha256, card.checkpoint_sha256) == ('deblur', file_sha256(out), file_sha256(checkpoint))
    assert (card.iterations, card.changed, card.trained_on) == (7, [], ['DemoClips'])
    assert (card.config, card.command) == (config, f'python tools/train.py {config}')
    assert (card.commit, card.versions) == (record['training']['commit'], record['training']['versions'])
    assert card.parameters == sum(tensor.numel() for tensor in torch.load(out)['state_dict'].values())
    first, other = card.scores
    assert (first.data, other.data, first.clips) == ('held-out demo clips', 'other clips', 6)
    assert (first.psnr_db, first.sdm_psnr_db) == (
        record['mean_of_clips']['psnr_db'],
        record['mean_of_clips']['sdm_psnr_db'],
    )
    assert [each.factor for each in first.thresholds] == [1, 2]


def test_settings_of_the_training_that_differ_are_named(config, results, checkpoint, tmp_path):
    trained = load_config(config, overrides={'optim_wrapper.optimizer.lr': 0.5})
    trained.work_dir = 'elsewhere'
    save(trained, checkpoint)
    assert ship(config, checkpoint, results(), tmp_path / 'deblur.pth').changed == ['optim_wrapper']


def test_an_optimizer_that_the_training_fused_is_no_other_setting(config, results, checkpoint, tmp_path):
    trained = load_config(config)
    fuse_optimizer(trained)
    save(trained, checkpoint)
    assert ship(config, checkpoint, results(), tmp_path / 'deblur.pth').changed == []


def refused(error, message, *arguments):
    out = arguments[-1]
    out.write_bytes(b'earlier')
    with pytest.raises(error, match=message):
        ship(*arguments)
    assert out.read_bytes() == b'earlier'
    assert not card_path(out).exists()


def test_a_config_of_another_network_is_refused(checkpoint, results, tmp_path):
    other = str(ROOT / 'configs/vrt_spike_lite.py')
    refused(ConfigError, 'has another network than', other, checkpoint, results(), tmp_path / 'deblur.pth')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'checkpoint_sha256': '0' * 64}, r'has the scores of another checkpoint, work_dirs/\S+/iter_\d+\.pth'),
        ({'training': None}, r'test the checkpoint beside its report\.json'),
        ({'clips': 3}, r'is no results\.json'),
    ],
)
def test_unfit_results_are_refused(config, checkpoint, results, tmp_path, changes, message):
    refused(CheckpointError, message, config, checkpoint, results(**changes), tmp_path / 'deblur.pth')


def test_a_large_network_is_refused(config, checkpoint, results, tmp_path, monkeypatch):
    monkeypatch.setattr('ship.MOST_BYTES', 1000)
    refused(CheckpointError, 'expected at most 1,000', config, checkpoint, results(), tmp_path / 'deblur.pth')


def test_paths_of_the_machine_are_left_out(config):
    settings = load_config(config, overrides={'data.root': '/disk/of/somebody/clips'})
    assert 'somebody' in settings.pretty_text
    assert 'somebody' not in config_text(settings)


def test_scores_name_their_clips():
    assert data_and_path('scores/results.json') == ('held-out demo clips', Path('scores/results.json'))
    assert data_and_path('a real video=a/results.json') == ('a real video', Path('a/results.json'))


def test_sources_of_a_mixture_stand_for_it():
    mixture = {'type': 'MixedClips', 'sources': [{'type': 'DemoClips'}, {'type': 'DemoClips', 'seed': 1}]}
    assert source_names({'dataset': {'type': 'ClipDataset', 'source': mixture}}) == ['DemoClips']
    assert source_names({'source': {'type': 'GoProSpike'}}) == ['GoProSpike']
