import json
from pathlib import Path

import pytest
import torch

from vrtspike.errors import ConfigError
from vrtspike.plugins import load_plugins
from vrtspike.testing import check_hook, tiny_restorer
from vrtspike.testing.training import train_briefly


@pytest.fixture(autouse=True)
def loaded():
    load_plugins([str(Path(__file__).parent)])


def logged(work_dir):
    """Return the strengths that a run has logged, one dict per logged iteration."""
    (path,) = Path(work_dir).glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in each.items() if key.startswith('fusion/')} for each in records]


def test_keeps_what_a_hook_promises():
    check_hook(dict(type='FusionStrengthHook'))


def test_a_closed_gate_has_no_strength_and_an_open_one_has(tmp_path):
    model = tiny_restorer(fusion='GatedFusion')
    torch.nn.init.normal_(model.fusion['stage2'].out.weight)
    train_briefly(tmp_path, [dict(type='FusionStrengthHook', interval=1)], iterations=1, model=model)
    strengths = logged(tmp_path)[0]
    assert list(strengths) == [f'fusion/stage{i}' for i in (1, 2, 3, 4)]
    assert strengths['fusion/stage1'] == 0
    assert strengths['fusion/stage2'] > 0


def test_heads_are_left_as_they_were(tmp_path):
    runner = train_briefly(tmp_path, [dict(type='FusionStrengthHook')], iterations=1)
    assert not any(head._forward_hooks for head in runner.model.fusion.values())


def test_a_model_without_fusion_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='has no fusion heads'):
        train_briefly(tmp_path, [dict(type='FusionStrengthHook')], model=without_fusion())


def without_fusion():
    model = tiny_restorer()
    del model.fusion
    return model
