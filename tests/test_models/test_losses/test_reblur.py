import pytest
import torch

from vrtspike.errors import ConfigError
from vrtspike.models.layers.srgb import decode_srgb, encode_srgb
from vrtspike.models.losses.reblur import ReblurLoss, certainty

INSTANTS, FRAMES = 3, 2


def frames(seed, batch=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch * INSTANTS, FRAMES, 3, 4, 5, generator=generator)


def meta(*supervised, threshold=1.0, light='linear'):
    """Information of a batch of which the clips are supervised, in the middle instant, or not."""
    flags = torch.zeros(len(supervised), INSTANTS, FRAMES, dtype=torch.bool)
    flags[:, INSTANTS // 2] = torch.tensor(supervised).view(-1, 1)
    return {
        'instants': torch.full((len(supervised),), INSTANTS),
        'supervised': flags.flatten(1),
        'threshold': torch.full((len(supervised),), threshold, dtype=torch.float64),
        'light': [light] * len(supervised),
    }


def mean_light(restored):
    """Return what several instants give together, repeated at each of them."""
    mean = encode_srgb(decode_srgb(restored.unflatten(0, (-1, INSTANTS))).mean(1, keepdim=True))
    return mean.expand(-1, INSTANTS, -1, -1, -1, -1).flatten(0, 1)


def test_the_mean_light_of_the_instants_is_the_blurred_frame():
    restored = frames(0)
    losses = ReblurLoss()(restored, restored, mean_light(restored), meta(False, False))
    assert losses['reblur_loss'] < 1e-8
    encoded_mean = restored.unflatten(0, (-1, INSTANTS)).mean(1, keepdim=True).expand(-1, INSTANTS, -1, -1, -1, -1)
    assert ReblurLoss()(restored, restored, encoded_mean.flatten(0, 1), meta(False, False))['reblur_loss'] > 0.01


def test_reblurring_is_a_weighted_mean_square():
    restored = frames(0)
    losses = ReblurLoss(reblur_weight=7)(restored, restored, mean_light(restored) + 0.1, meta(False, False))
    torch.testing.assert_close(losses['reblur_loss'], torch.tensor(0.07), rtol=1e-4, atol=0)


def test_exposures_are_reblurred_by_themselves():
    restored = frames(0)
    blur = mean_light(restored)
    blur[INSTANTS:] = 0
    other = restored.clone()
    other[INSTANTS:] = 0
    losses = ReblurLoss()(other, other, blur, meta(False, False))
    assert losses['reblur_loss'] < 1e-8


@pytest.mark.parametrize(('light', 'seen'), [('linear', decode_srgb), ('encoded', torch.clone)])
def test_without_sharp_frames_pixels_count_by_the_certainty_of_their_spikes(light, seen):
    restored, blur = frames(0, 1), frames(1, 1)
    target = restored + 0.2
    blur = blur[:1].expand(INSTANTS, -1, -1, -1, -1)
    losses = ReblurLoss(sdm_weight=3)(restored, target, blur, meta(False, light=light))
    weights = certainty(seen(blur[None, 0]), torch.tensor(1.0), 0.05)
    torch.testing.assert_close(losses['sdm_loss'], 3 * 0.2 * weights.mean(), rtol=1e-3, atol=0)
    torch.testing.assert_close(losses['restoration_loss'], torch.tensor(1e-3))


def test_sharp_frames_train_only_where_they_are():
    restored = frames(0).requires_grad_()
    losses = ReblurLoss()(restored, frames(1), frames(2), meta(True, False))
    (by_sdm,) = torch.autograd.grad(losses['sdm_loss'], restored, retain_graph=True)
    (by_sharp,) = torch.autograd.grad(losses['restoration_loss'], restored)
    sharp = [1]  # the middle instant of the first clip
    sdm = [0, 2, 3, 4, 5]
    assert by_sharp[sharp].ne(0).all()
    assert not by_sharp[sdm].any()
    assert by_sdm[sdm].ne(0).all()
    assert not by_sdm[sharp].any()


def test_certainty_grows_with_light_and_falls_with_the_threshold():
    light = torch.linspace(0, 1, 6).view(1, 1, 1, 1, 6).expand(1, 1, 3, 1, 6)
    found = certainty(light, torch.tensor(1.0), 0.05).flatten()
    assert (found.diff() >= 0).all()
    assert 0 < found[0] < 0.2
    assert found[-1] > 0.75
    assert (certainty(light, torch.tensor(4.0), 0.05).flatten() <= found).all()


def test_a_pixel_at_the_tolerance_counts_half():
    grey = torch.full((1, 1, 3, 1, 1), 0.5)  # 8 steps to each side at 0.5 spikes a step
    noise = (1 / (24 * 8**2)) ** 0.5 / 0.5
    torch.testing.assert_close(certainty(grey, torch.tensor(1.0), noise).item(), 0.5, rtol=1e-4, atol=0)


def test_batches_of_one_instant_are_refused():
    with pytest.raises(ConfigError, match='SDMTargets'):
        ReblurLoss()(frames(0), frames(0), frames(0), {})
