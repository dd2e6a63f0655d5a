import contextlib
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_networks import TWO_BLOCKS

from vrtspike.config import load_config
from vrtspike.errors import CheckpointError
from vrtspike.models import VRT, SpikeRestorer
from vrtspike.models.weights import (
    LoadReport,
    load_exact,
    load_matching,
    part_of,
    resample_bias_table,
    window_of,
)
from vrtspike.ops.window_attention.windows import crop_bias_table, relative_position_index
from vrtspike.registry import MODELS

ROOT = Path(__file__).parents[2]


def tiny(**changes):
    return VRT(**TWO_BLOCKS | changes)


def random_table(window, heads=2, seed=0):
    rows = 1
    for length in window:
        rows *= 2 * length - 1
    return torch.randn(rows, heads, generator=torch.Generator().manual_seed(seed))


class TestBiasTables:
    @given(window=st.tuples(st.integers(1, 6), st.integers(2, 6), st.integers(2, 6)))
    def test_the_window_is_read_off_the_index(self, window):
        assert window_of(relative_position_index(window)) == window

    @given(window=st.tuples(st.integers(1, 4), st.integers(2, 5), st.integers(2, 5)))
    def test_the_same_window_leaves_a_table_as_it_is(self, window):
        table = random_table(window)
        assert torch.equal(resample_bias_table(table, window, window), table)

    def test_a_shorter_window_drops_the_longest_offsets_in_time_exactly(self):
        table = random_table((6, 3, 3))
        expected = crop_bias_table(table, (6, 3, 3), (4, 3, 3))
        assert torch.equal(resample_bias_table(table, (6, 3, 3), (4, 3, 3)), expected)

    def test_a_longer_window_repeats_the_longest_offset_in_time(self):
        table = random_table((2, 3, 3)).view(3, 25, 2)
        longer = resample_bias_table(table.flatten(0, 1), (2, 3, 3), (4, 3, 3)).view(7, 25, 2)
        assert torch.equal(longer, table[[0, 0, 0, 1, 2, 2, 2]])

    @pytest.mark.parametrize('new', [(2, 3, 3), (2, 6, 6), (2, 5, 2), (2, 8, 8)])
    def test_a_constant_stays_one_in_every_head(self, new):
        table = torch.tensor([1.0, -2.0]).expand(3 * 7 * 7, 2)
        resampled = resample_bias_table(table, (2, 4, 4), new)
        assert resampled.shape == random_table(new).shape
        torch.testing.assert_close(resampled, torch.tensor([1.0, -2.0]).expand_as(resampled))

    def test_the_bias_of_a_token_with_itself_and_the_symmetry_of_space_are_kept(self):
        """A bias that falls off with distance still peaks in the centre and is even, rows along H before W."""
        y, x = torch.meshgrid(torch.arange(-7.0, 8), torch.arange(-7.0, 8), indexing='ij')
        table = torch.exp(-(y.square() + 4 * x.square()) / 20).flatten()[:, None]
        small = resample_bias_table(table, (1, 8, 8), (1, 6, 6)).view(11, 11)
        assert small.argmax() == 60
        torch.testing.assert_close(small, small.flip(0, 1))
        assert small[8, 5] > small[5, 8]


class TestLoading:
    def test_the_same_network_is_loaded_whole(self):
        source, model = tiny(), tiny()
        report = load_matching(model, source.state_dict())
        assert report == LoadReport(loaded=list(source.state_dict()))
        torch.testing.assert_close(model.state_dict(), source.state_dict())

    def test_a_network_and_a_restorer_around_it_are_taken_for_each_other(self):
        source, target = SpikeRestorer(backbone=tiny()), SpikeRestorer(backbone=tiny())
        for model, weights in ((tiny(), source.state_dict()), (target, source.backbone.state_dict())):
            report = load_matching(model, weights)
            assert len(report.loaded) == len(source.backbone.state_dict())
            assert report.adapted == report.fresh == report.unused == []

    def test_another_window(self):
        source, model = tiny(), tiny(window_size=[3, 6, 6])
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        report = load_matching(model, source.state_dict())
        assert {name.rpartition('.')[2] for name in report.adapted} == {
            'relative_position_bias_table',
            'relative_position_index',
            'position_bias',
        }
        assert report.fresh == report.unused == []
        after, name = model.state_dict(), 'stage1.residual_group2.blocks.0.attn.relative_position_bias_table'
        expected = resample_bias_table(source.state_dict()[name], (4, 4, 4), (3, 6, 6))
        assert torch.equal(after[name], expected)
        for name in report.adapted:
            if not name.endswith('table'):  # the network's own, computed for its window
                assert torch.equal(after[name], before[name])
        assert model.eval()(torch.rand(1, 2, 3, 8, 8)).isfinite().all()

    def test_depth_and_width(self):
        source = tiny(depths=[4] * 7 + [2])
        model = tiny(embed_dims=[8] * 7 + [12])
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        report = load_matching(model, source.state_dict())
        assert 'stage2.residual_group1.blocks.2.norm1.weight' in report.unused
        assert 'stage8.0.2.weight' in report.fresh
        assert 'stage8.0.2.weight' in report.unused
        assert torch.equal(model.state_dict()['stage8.0.2.weight'], before['stage8.0.2.weight'])
        assert len(report.loaded + report.adapted + report.fresh) == len(before)
        counts = report.counts()
        for fate, names in vars(report).items():
            assert sum(part[fate] for part in counts.values()) == len(names)

    @pytest.mark.parametrize('weights', [{'conv_first.weight': torch.zeros(3)}, {'other': torch.zeros(1)}])
    def test_a_checkpoint_that_fits_nothing_is_an_error_and_changes_nothing(self, weights):
        model = tiny()
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with pytest.raises(CheckpointError, match=r'nothing in the checkpoint fits the network: it contains'):
            load_matching(model, weights)
        torch.testing.assert_close(model.state_dict(), before)

    def test_buffers_alone_are_no_fit(self):
        source = {name: tensor for name, tensor in tiny().state_dict().items() if name.endswith('index')}
        with pytest.raises(CheckpointError, match='nothing in the checkpoint fits'):
            load_matching(tiny(window_size=[2, 3, 3]), source)

    def test_whole_networks_only(self):
        source = tiny()
        model = SpikeRestorer(backbone=tiny())
        load_exact(model, source.state_dict())
        torch.testing.assert_close(model.backbone.state_dict(), source.state_dict())
        message = r'the checkpoint does not fit the network\. Weights: \d+ of another shape .* Use the config'
        with pytest.raises(CheckpointError, match=message):
            load_exact(model, tiny(window_size=[3, 4, 4]).state_dict())


class TestWrappedNames:
    """Names as programs save them that hold the network as a part of something else."""

    @pytest.fixture
    def source(self):
        return SpikeRestorer(backbone=tiny())

    @pytest.mark.parametrize(
        'wrapped',
        [
            lambda name: f'generator.{name}',
            lambda name: f'model.netG.{name}',
            lambda name: f'generator.{name.removeprefix("backbone.")}',
            lambda name: name.replace('backbone.', 'backbone._orig_mod.', 1),
            lambda name: name.replace('backbone.', 'backbone.module.', 1),
            lambda name: name.replace('stage1.', 'stage1._checkpoint_wrapped_module.', 1),
        ],
    )
    def test_a_wrapped_network_is_loaded_whole(self, source, wrapped):
        weights = {wrapped(name): tensor for name, tensor in source.state_dict().items()}
        for model in (SpikeRestorer(backbone=tiny()), tiny()):
            load_exact(model, weights)
            torch.testing.assert_close(getattr(model, 'backbone', model).state_dict(), source.backbone.state_dict())
            assert load_matching(model, weights).fresh == []

    def test_other_networks_of_the_training_are_left_out_and_averages_are_taken(self, source):
        weights = {f'generator_ema.{name}': tensor for name, tensor in source.state_dict().items()}
        weights |= {f'generator.{name}': tensor + 1 for name, tensor in source.state_dict().items()}
        weights |= {'discriminator.conv.weight': torch.zeros(3), 'step_counter': torch.tensor(7)}
        model = SpikeRestorer(backbone=tiny())
        load_exact(model, weights)
        torch.testing.assert_close(model.state_dict(), source.state_dict())

    def test_a_compiled_backbone_takes_plain_weights(self, source):
        model = SpikeRestorer(backbone=torch.compile(tiny(), backend='eager'))
        load_exact(model, source.state_dict())
        torch.testing.assert_close(model.backbone._orig_mod.state_dict(), source.backbone.state_dict())

    def test_parts_that_have_the_name_of_a_wrapper_are_kept(self):
        source, model = (torch.nn.ModuleDict({'module': torch.nn.Linear(2, 3)}) for _ in range(2))
        load_exact(model, source.state_dict())
        torch.testing.assert_close(model.state_dict(), source.state_dict())

    def test_the_spike_side_is_not_dropped_from_a_backbone(self, source):
        weights = {**source.state_dict(), 'spike_encoder.conv.weight': torch.zeros(1)}
        with pytest.raises(CheckpointError, match=r'1 not in the network \(spike_encoder\.conv\.weight\)'):
            load_exact(tiny(), weights)


def test_a_load_that_leaves_most_of_the_network_random_is_refused_unless_it_is_asked_for():
    source, model = tiny().state_dict(), tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flow = {name: tensor for name, tensor in source.items() if name.startswith('stage1.')}
    weights = {**flow, 'renamed.stage2.weight': torch.zeros(1)}
    message = r'only \d+% of the weights .*renamed\.stage2\.weight.*set partial_load=True'
    with pytest.raises(CheckpointError, match=message):
        load_matching(model, weights)
    torch.testing.assert_close(model.state_dict(), before)
    report = load_matching(model, weights, partial=True)
    assert report.loaded == list(flow)
    assert report.unused == ['renamed.stage2.weight']


MODEL = tiny()
NAMES = list(MODEL.state_dict())


@settings(max_examples=20)
@given(st.data())
def test_any_weights_are_loaded_or_refused(data):
    weights = dict(MODEL.state_dict())
    for _ in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from(NAMES) | st.sampled_from([n for n in NAMES if 'relative' in n]))
        name = data.draw(st.sampled_from(['', 'x.', 'module.', 'backbone.'])) + name
        shape = data.draw(
            st.lists(st.integers(0, 70), max_size=3) | st.just(list(weights.get(name, torch.ones(1)).shape))
        )
        dtype = data.draw(st.sampled_from([torch.float32, torch.int64, torch.float16, torch.bool]))
        weights[name] = torch.ones(shape).to(dtype)
    for load in (load_exact, load_matching):
        with contextlib.suppress(CheckpointError):
            load(MODEL, weights)


def test_parts():
    assert [part_of('backbone.stage3.linear1.weight'), part_of('spike_encoder.x.y'), part_of('stage3.linear1')] == [
        'backbone.stage3',
        'spike_encoder',
        'stage3',
    ]


def test_the_released_deblurring_network_into_the_baseline_with_spikes():
    """Pinned: what fits by name and shape, what another window changes, what is new, what has no place."""
    entries = json.loads((ROOT / 'tests/golden/state_dict_006_gopro.json').read_text())['entries']
    weights = {name: torch.zeros(shape) for name, (shape, _) in entries.items()}
    for name, tensor in weights.items():
        if name.endswith('relative_position_index'):
            weights[name] = relative_position_index((len(tensor) // 64, 8, 8))
    model = MODELS.build(load_config(ROOT / 'configs/vrt_spike_baseline.py').model)
    report = load_matching(model, weights)
    assert {fate: len(names) for fate, names in vars(report).items()} == {
        'loaded': 1016,
        'adapted': 30,
        'merged': 0,
        'fresh': 287,
        'unused': 480,
    }
    counts = {part: tuple(fates.values()) for part, fates in report.counts().items()}
    assert counts == {
        'backbone.conv_first': (2, 0, 0, 0, 0),
        'backbone.spynet': (62, 0, 0, 0, 0),
        'backbone.stage1': (164, 4, 0, 0, 0),
        'backbone.stage2': (166, 4, 0, 0, 0),
        'backbone.stage3': (166, 4, 0, 0, 0),
        'backbone.stage4': (166, 4, 0, 0, 0),
        'backbone.stage5': (95, 2, 0, 0, 73),
        'backbone.stage6': (95, 2, 0, 0, 73),
        'backbone.stage7': (95, 2, 0, 0, 73),
        'backbone.stage8': (2, 8, 0, 124, 258),
        'backbone.norm': (0, 0, 0, 2, 2),
        'backbone.conv_after_body': (1, 0, 0, 1, 1),
        'backbone.conv_last': (2, 0, 0, 0, 0),
        'spike_encoder': (0, 0, 0, 40, 0),
        'tsa': (0, 0, 0, 56, 0),
        'fusion': (0, 0, 0, 64, 0),
    }
    assert sum(name.endswith('bias_table') for name in report.adapted) == 15
