"""What the shipped configs build: a deliberate change of a network changes its number here."""

import ast
import json
import warnings
from pathlib import Path

import pytest
import torch

from vrtspike.config import load_config
from vrtspike.engine.training import check_schedules
from vrtspike.registry import MODELS

CONFIGS = Path(__file__).parents[1] / 'configs'
VRT_PARAMETERS = {
    'vrt_spike_v0': 18_263_751,
    'vrt_spike_baseline': 15_086_499,
    'vrt_spike_amp': 15_086_499,
    'vrt_spike_opt': 14_657_109,
    'vrt_spike_fast': 13_987_299,
}
SPIKE_SIDE_PARAMETERS = 5_411_712
FULL_RESOLUTION_FUSION_PARAMETERS = 74_784 + 74_976
STUDENT_DEPTHS = [4, 4, 4, 4, 2, 2, 2, 2]
STUDENT_PARAMETERS = 11_607_939
LITE_PARAMETERS = 727_141


def build(name, **overrides):
    """Build a config's network without allocating its weights."""
    config = load_config(CONFIGS / f'{name}.py', overrides=overrides, cpu_overrides=False)
    return MODELS.build(config.model)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def shipped():
    return sorted(path.stem for path in CONFIGS.glob('*.py'))


PUBLISHED = {
    'vrt/001_vrt_videosr_bi_reds_6frames': 30_676_435,
    'vrt/002_vrt_videosr_bi_reds_16frames': 35_134_783,
    'vrt/003_vrt_videosr_bi_vimeo_7frames': 32_577_991,
    'vrt/004_vrt_videosr_bd_vimeo_7frames': 32_577_991,
    'vrt/005_vrt_videodeblurring_dvd': 18_320_007,
    'vrt/006_vrt_videodeblurring_gopro': 18_320_007,
    'vrt/007_vrt_videodeblurring_reds': 18_320_007,
    'vrt/008_vrt_videodenoising_davis': 18_320_871,
    'vrt/009_vrt_videofi_vimeo_4frames': 9_943_387,
}


def build_without_weights(name):
    config = load_config(CONFIGS / f'{name}.py')
    with torch.device('meta'), warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # the flow network's weights have nowhere to go
        return MODELS.build(config.model)


@pytest.mark.parametrize(('name', 'parameters'), PUBLISHED.items())
def test_published_networks(name, parameters):
    model = build_without_weights(name)
    assert count(model) == count(model.backbone) == parameters
    assert not model.uses_spikes


def test_the_published_configs_are_all_there_and_valid_on_a_cpu_too():
    assert sorted(f'vrt/{path.stem}' for path in CONFIGS.glob('vrt/*.py')) == list(PUBLISHED)
    for name in PUBLISHED:
        config, on_cpu = (load_config(CONFIGS / f'{name}.py', cpu_overrides=cpu) for cpu in (False, True))
        assert config.model == on_cpu.model


def test_the_published_gopro_network_has_the_released_names_and_shapes():
    released = json.loads((CONFIGS.parent / 'tests/golden/state_dict_006_gopro.json').read_text())['entries']
    state = build_without_weights('vrt/006_vrt_videodeblurring_gopro').backbone.state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == {
        name: shape for name, (shape, _) in released.items()
    }


def test_the_light_network_is_a_small_part_of_the_baseline():
    model = build('vrt_spike_lite')
    assert count(model) == LITE_PARAMETERS
    assert count(model) < 0.04 * count(build('vrt_spike_baseline'))


def commands():
    """Return (config, words after it) for every call of train.py in the docstring of a config."""
    found = []
    for path in sorted(CONFIGS.rglob('*.py')):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ''
        lines = docstring.replace('\\\n', ' ').splitlines()
        calls = [line.split()[2:] for line in lines if line.strip().startswith('python tools/train.py')]
        found += [(path.relative_to(CONFIGS.parent), words) for words in calls]
    return found


@pytest.mark.parametrize(('path', 'words'), commands(), ids=lambda value: str(value) if isinstance(value, Path) else '')
def test_the_command_in_a_config_names_it_and_its_options_are_valid(path, words):
    assert words[0] == str(path)
    overrides = dict(word.split('=', 1) for word in words[1:] if '=' in word)
    load_config(CONFIGS.parent / path, overrides=overrides)


@pytest.mark.parametrize('cpu_overrides', [False, True])
@pytest.mark.parametrize('name', shipped())
def test_every_config_is_valid(name, cpu_overrides):
    config = load_config(CONFIGS / f'{name}.py', cpu_overrides=cpu_overrides)
    assert config.model.type == 'SpikeRestorer'


@pytest.mark.parametrize(('name', 'parameters'), VRT_PARAMETERS.items())
def test_parameter_counts(name, parameters):
    model = build(name)
    assert count(model.backbone) == parameters
    assert count(model) - count(model.backbone) == SPIKE_SIDE_PARAMETERS


def test_the_combined_plan_is_the_aggressive_one_without_fusion_at_full_resolution():
    combined, fast = build('vrt_spike_combined'), build('vrt_spike_fast')
    assert count(combined.backbone) == count(fast.backbone)
    assert count(fast) - count(combined) == FULL_RESOLUTION_FUSION_PARAMETERS
    assert set(fast.cost_stages()) - set(combined.cost_stages()) == {'fuse1'}


def test_parameters_of_the_half_depth_student():
    model = build('vrt_spike_baseline', **{'model.backbone.depths': STUDENT_DEPTHS})
    assert count(model.backbone) == STUDENT_PARAMETERS


@pytest.mark.parametrize('name', shipped())
def test_cpu_overrides_never_change_the_network(name):
    config, on_cpu = (load_config(CONFIGS / f'{name}.py', cpu_overrides=cpu) for cpu in (False, True))
    assert on_cpu.model == config.model


def test_the_tiny_network_has_every_part_of_the_baseline():
    tiny, baseline = build('vrt_spike_tiny'), build('vrt_spike_baseline')
    parts = [{row['part'] for row in model.summary_rows()} for model in (tiny, baseline)]
    assert parts[0] - {'projection'} == parts[1]
    assert tiny.cost_stages() == baseline.cost_stages()
    assert count(tiny) - count(tiny.backbone.spynet) < 2_000_000


@pytest.mark.parametrize(
    'name', ['vrt_spike_opt', 'vrt_spike_fast', 'vrt_spike_amp', 'vrt_spike_v0', 'vrt_spike_combined']
)
def test_a_child_is_its_difference_from_the_baseline(name):
    lines = (CONFIGS / f'{name}.py').read_text().split('"""')[-1].strip().splitlines()
    assert len(lines) <= 10


def test_the_tiny_network_restores_a_clip():
    model = build('vrt_spike_tiny').eval()
    estimate, blur = torch.rand(2, 1, 2, 3, 16, 16)
    assert torch.equal(model(torch.cat((estimate, blur), dim=2), torch.rand(1, 2, 32, 8, 8)), estimate)


RECIPES = sorted(path.stem for path in (CONFIGS / 'recipes').glob('*.py'))
JOINED = [name for name in RECIPES if name not in ('all', 'fsdp')]


@pytest.mark.parametrize('cpu_overrides', [False, True])
@pytest.mark.parametrize('name', RECIPES)
def test_every_recipe_is_valid_and_changes_no_network_on_a_cpu(name, cpu_overrides):
    config = load_config(CONFIGS / f'recipes/{name}.py', cpu_overrides=cpu_overrides)
    assert config.model == load_config(CONFIGS / f'recipes/{name}.py').model


def test_one_recipe_joins_the_others():
    joined = load_config(CONFIGS / 'recipes/all.py')
    alone = {name: load_config(CONFIGS / f'recipes/{name}.py') for name in JOINED}
    assert joined.default_hooks.crops == alone['progressive_crops'].default_hooks.crops
    assert joined.default_hooks.ema == alone['ema'].default_hooks.ema
    assert joined.optim_wrapper.paramwise_cfg == alone['freeze_flow'].optim_wrapper.paramwise_cfg
    assert joined.default_hooks['freeze'] == alone['freeze_flow'].default_hooks['freeze']
    assert [loss.type for loss in joined.model.loss.losses] == ['CharbonnierLoss', 'PerceptualLoss']
    assert joined.model.type == alone['distillation'].model.type
    assert joined.model.backbone == alone['distillation'].model.backbone


TRAINED = ('configs/*.py', 'configs/recipes/*.py', 'configs/vrt/*_videodeblurring_*.py', 'plugins/*/config.py')


def trained_configs():
    return sorted(path for pattern in TRAINED for path in CONFIGS.parent.glob(pattern))


@pytest.mark.parametrize(('name', 'expected'), [('baseline', 1536), ('tiny', 40), ('lite', 20), ('amp', 1536)])
def test_the_full_length_of_shipped_configs(name, expected):
    warm_up, cosine = load_config(CONFIGS / f'vrt_spike_{name}.py').param_scheduler
    assert (warm_up.begin, warm_up.end, cosine.begin) == (0, expected, expected)
    assert load_config(CONFIGS / 'recipes/accumulation.py').param_scheduler[0].end == 3072


@pytest.mark.parametrize('path', trained_configs(), ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_one_override_shortens_every_shipped_config(path):
    for iterations in (1, 3, 24):
        config = load_config(path, overrides={'train_cfg.max_iters': iterations})
        check_schedules(config)
        assert all(schedule.get('end', iterations) <= iterations for schedule in config.param_scheduler)
        assert 'warm_up' not in config


def test_shipped_configs_leave_custom_hooks_to_the_user():
    for path in [*CONFIGS.rglob('*.py'), *CONFIGS.parent.glob('plugins/*/config.py')]:
        assert 'custom_hooks' not in path.read_text(), path
