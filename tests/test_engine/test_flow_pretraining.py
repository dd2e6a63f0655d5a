"""Pretraining is seeded and learns to see motion; the weights that ship were made by it and do see motion."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from vrtspike.engine import flow_pretraining as fp
from vrtspike.engine.flow_pretraining import FRESH, TRAINING, FlowTraining, Pairs
from vrtspike.errors import ConfigError
from vrtspike.models.layers.alignment import warp
from vrtspike.models.layers.flow import SpyNet, load_spynet, pyramid_flows

TINY = FlowTraining(iterations=2, batch_size=2, size=32, pairs=3, max_speed=3.0)


def silent(*_):
    """Report nothing."""


def level_weights(net):
    return torch.cat([parameter.flatten() for parameter in net.basic_module[0].parameters()])


def texture(rng, size=48):
    """Return a smooth random image (1, 3, size, size) in [0, 1]."""
    coarse = torch.rand(1, 3, size // 3, size // 3, generator=rng)
    return F.interpolate(coarse, size=(size, size), mode='bicubic', align_corners=False).clamp(0, 1)


@pytest.fixture(autouse=True)
def one_thread():
    """Train on one thread: on a busy machine, threads that wait for each other make tiny steps many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('iterations', 0),
        ('batch_size', -1),
        ('pairs', 0),
        ('max_speed', float('nan')),
        ('lr', float('inf')),
        ('size', 40),
        ('seed', -1),
    ],
)
def test_senseless_numbers_are_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=f'{name}={value}; expected'):
        FlowTraining(**{name: value})


def test_weights_are_a_function_of_the_seed_alone():
    first = level_weights(fp.pretrain(TINY, silent))
    torch.manual_seed(123)
    torch.testing.assert_close(level_weights(fp.pretrain(TINY, silent)), first, rtol=0, atol=0)
    other = FlowTraining(**{**vars(TINY), 'seed': 1})
    assert not torch.equal(level_weights(fp.pretrain(other, silent)), first)


def test_every_step_is_reported():
    reports = []
    fp.pretrain(TINY, lambda what, done, total: reports.append((what.split(',')[0], done, total)))
    assert reports == [('rendering pairs', i, 3) for i in (1, 2, 3)] + [('training', i, 2) for i in (1, 2)]


def test_a_short_run_leaves_the_plateau_of_no_flow():
    settings = FlowTraining(iterations=200, batch_size=2, size=32, pairs=1, max_speed=6.0, lr=4e-4)
    pool = fp.render_pairs(settings, TRAINING, settings.pairs, settings.size, silent)
    pairs = Pairs(pool.frame0 / 255, pool.frame1 / 255, pool.flow.float())
    still = fp.shared_spynet(torch.Generator().manual_seed(0))
    torch.nn.init.zeros_(still.basic_module[0].basic_module[-1].weight)
    trained, none = (fp.pyramid_loss(net, pairs).item() for net in (fp.pretrain(settings, silent), still))
    assert trained < 0.85 * none


def test_rendered_pairs_depend_on_seed_stream_and_index_only():
    few, more = (fp.render_pairs(TINY, TRAINING, count, 32, silent) for count in (1, 2))
    assert all(torch.equal(one[0], two[0]) for one, two in zip(few, more, strict=True))
    assert not torch.equal(fp.render_pairs(TINY, FRESH, 1, 32, silent).frame0, few.frame0)
    assert not torch.equal(more.frame0[0], more.frame0[1])


def test_batches_are_augmented_pairs_of_the_pool(rng):
    pool = fp.render_pairs(TINY, TRAINING, 3, 42, silent)
    batch, again = (fp.augmented_batch(pool, TINY, rng) for _ in range(2))
    assert batch.frame0.shape == batch.frame1.shape == (2, 3, 32, 32)
    assert batch.flow.shape == (2, 2, 32, 32)
    assert 0 <= batch.frame0.min() <= batch.frame0.max() <= 1.2
    assert not torch.equal(batch.frame0, again.frame0)


def test_mirrored_pairs_still_move_along_their_flow(rng):
    frame1 = texture(rng)
    flow = torch.tensor([3.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 48, 48)
    pairs = Pairs(warp(frame1, flow, padding_mode='border'), frame1, flow)
    seen = set()
    for _ in range(60):
        turned = fp.mirrored(pairs, rng)
        inside = (..., slice(4, -4), slice(4, -4))
        torch.testing.assert_close(warp(turned.frame1, turned.flow)[inside], turned.frame0[inside], atol=1e-5, rtol=0)
        seen.add(tuple(turned.flow[0, :, 0, 0].tolist()))
    assert seen == {(a * x, b * y) for x, y in ((3, 1), (1, 3)) for a, b in itertools.product((-1, 1), repeat=2)}


def test_motion_detectors_tell_opposite_motions_apart(rng):
    frame = texture(rng)
    energies = []
    for shift in (1, -1):
        both = torch.cat((frame, frame.roll(shift, dims=3), torch.zeros(1, 2, 48, 48)), dim=1)
        response = F.relu(F.conv2d(both, fp.motion_energy_filters())).square().mean(dim=(0, 2, 3))
        energies.append(response.view(4, 2, 4).sum(dim=2))  # orientation, direction, over phases
    right, left = energies
    horizontal, vertical = 0, 2
    assert (right[horizontal, 0] - right[horizontal, 1]) * (left[horizontal, 0] - left[horizontal, 1]) < 0
    contrast = ((right - left)[:, 0] / (right + left)[:, 0]).abs()
    assert contrast[horizontal] > 5 * contrast[vertical]


def test_detached_flows_are_those_of_the_network(rng):
    net = fp.shared_spynet(rng)
    net.basic_module[0].basic_module[-1].weight.data.mul_(5)  # flows of some pixels, so that warping matters
    frames = net.resize(texture(rng, 96)), net.resize(texture(rng, 96))
    with torch.no_grad():
        ours, expected = fp.detached_flows(net, *frames), pyramid_flows(net.basic_module, *frames)
    for flow, exact in zip(ours, expected, strict=True):
        assert flow.shape == exact.shape
        assert (flow - exact).norm() < 0.03 * exact.norm()  # bfloat16


@given(st.integers(1, 5000), st.data())
def test_learning_rate_stays_within_its_peak(iterations, data):
    factor = fp.lr_factor(data.draw(st.integers(0, iterations - 1)), iterations)
    assert 0 < factor <= 1


def test_learning_rate_warms_up_and_anneals():
    factors = [fp.lr_factor(step, 1000) for step in range(1000)]
    assert 50 < factors.index(max(factors)) < 100
    assert factors[0] < 0.02
    assert factors[-1] < 1e-4


def test_a_saved_level_starts_all_six(tmp_path):
    saved = fp.shared_spynet(torch.Generator().manual_seed(3))
    fp.save_level(saved, tmp_path / 'level.pth')
    loaded = SpyNet()
    load_spynet(loaded, tmp_path / 'level.pth')
    for level in loaded.basic_module:
        for key, value in level.state_dict().items():
            torch.testing.assert_close(value, saved.basic_module[0].state_dict()[key].half().float(), rtol=0, atol=0)


@pytest.mark.parametrize('size', [96, 128])
def test_shipped_weights_see_motion(size):
    net = SpyNet()
    load_spynet(net)
    found, none = fp.evaluate(net, FlowTraining(seed=7), size, pairs=16)
    assert found < 0.5 * none
