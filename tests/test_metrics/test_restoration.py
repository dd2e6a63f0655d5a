import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator

from vrtspike.errors import DataError
from vrtspike.metrics import RestorationQuality, clip_quality, file_stem, playback_frames, psnr, ssim
from vrtspike.registry import METRICS

FRAMES, SIZE = 2, 16


def make_meta(clips):
    return {'name': [f'clip{i}' for i in range(clips)], 'first_frame': ['0007'] * clips, 'light': ['linear'] * clips}


def make_batch(clips=2, seed=0, spikes=True):
    generator = torch.Generator().manual_seed(seed)

    def images():
        return torch.randint(0, 256, (clips, FRAMES, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)

    batch = {'blur': images(), 'sharp': images(), 'meta': make_meta(clips)}
    if spikes:
        batch['spikes'] = torch.rand((clips, FRAMES, 4, SIZE // 2, SIZE // 2), generator=generator)
    return batch


def make_samples(batch, restored=None):
    restored = batch['blur'].float() / 255 if restored is None else restored
    return [{'restored': clip} for clip in restored]


def channels_last(frames):
    return frames.permute(0, 2, 3, 1).numpy()


def test_scalars_are_means_over_clips_of_means_over_frames():
    metric, batch = RestorationQuality(), make_batch()
    restored = torch.rand(batch['sharp'].shape, generator=torch.Generator().manual_seed(1))
    metric.process(batch, make_samples(batch, restored))
    scalars = metric.evaluate(2)
    expected = [
        np.mean(
            [
                measure(image, sharp)
                for clip, target in zip(restored, batch['sharp'], strict=True)
                for image, sharp in zip(channels_last((clip * 255).round().byte()), channels_last(target), strict=True)
            ]
        )
        for measure in (psnr, ssim)
    ]
    assert list(scalars) == ['psnr', 'ssim', 'blur/psnr', 'blur/ssim', 'tfp/psnr']
    assert [scalars['psnr'], scalars['ssim']] == pytest.approx(expected)


def test_every_clip_weighs_the_same_whatever_its_length():
    metric = RestorationQuality()
    scalars = metric.compute_metrics(
        [{'clip': 'a', 'frames': 1, 'psnr': 20.0}, {'clip': 'b', 'frames': 9, 'psnr': 30.0}]
    )
    assert scalars == {'psnr': 25.0}


def test_rows_name_the_clips_and_outlive_the_evaluation():
    metric, batch = RestorationQuality(), make_batch()
    metric.process(batch, make_samples(batch))
    scalars = metric.evaluate(2)
    assert [row['clip'] for row in metric.rows] == ['clip0/0007', 'clip1/0007']
    assert [row['frames'] for row in metric.rows] == [FRAMES, FRAMES]
    for name, value in scalars.items():
        assert np.mean([row[name] for row in metric.rows]) == pytest.approx(value)


def test_restored_equal_to_blurred_scores_the_same():
    metric, batch = RestorationQuality(), make_batch()
    metric.process(batch, make_samples(batch))
    scalars = metric.evaluate(2)
    assert scalars['psnr'] == scalars['blur/psnr']
    assert scalars['ssim'] == scalars['blur/ssim']


def test_a_perfect_clip_keeps_the_mean_finite():
    metric, batch = RestorationQuality(), make_batch(clips=1)
    metric.process(batch, make_samples(batch, batch['sharp'].float() / 255))
    assert metric.evaluate(1)['psnr'] == 100.0


def test_playback_of_the_true_intensity_is_nearly_perfect():
    linear = torch.rand(1, 1, 12, 12).expand(1, 4, 12, 12)
    gray = playback_frames(linear, (12, 12))
    sharp = gray[..., None].repeat(3, axis=3)
    assert clip_quality(sharp, sharp, sharp, gray)['tfp/psnr'] == 100.0


def test_the_estimate_of_the_deblurring_model_is_scored_in_colour():
    metric, batch = RestorationQuality(), make_batch()
    batch['sdm'] = batch['blur']
    metric.process(batch, make_samples(batch))
    scalars = metric.evaluate(2)
    assert scalars['sdm/psnr'] == scalars['blur/psnr']
    assert [row['sdm/psnr'] for row in metric.rows] == [row['blur/psnr'] for row in metric.rows]


def test_without_spikes_there_is_no_playback_score():
    metric, batch = RestorationQuality(), make_batch(spikes=False)
    metric.process(batch, make_samples(batch))
    assert 'tfp/psnr' not in metric.evaluate(2)
    assert all(math.isfinite(row['psnr']) and 'tfp/psnr' not in row for row in metric.rows)


def test_without_sharp_frames_it_says_so():
    batch = make_batch()
    del batch['sharp']
    with pytest.raises(DataError, match='sharp'):
        RestorationQuality().process(batch, make_samples(batch))


def test_a_wrong_number_of_frames_is_refused():
    batch = make_batch(clips=1)
    with pytest.raises(DataError, match=r'1 frames .* 2'):
        RestorationQuality().process(batch, make_samples(batch, batch['blur'][:, :1].float() / 255))


def test_in_an_evaluator_without_a_warning_about_prefixes(caplog):
    metric = METRICS.build({'type': 'RestorationQuality'})
    evaluator, batch = Evaluator(metric), make_batch()
    evaluator.process(make_samples(batch), batch)
    assert 'psnr' in evaluator.evaluate(2)
    assert metric.results == []
    assert 'prefix' not in caplog.text


def make_clip(i):
    """Return the ``i``-th of four clips as a batch of one, and what a model made of it."""
    batch = make_batch(clips=4, spikes=False)
    one = {key: batch[key][i : i + 1] for key in ('blur', 'sharp')}
    return one | {'meta': {key: values[i : i + 1] for key, values in batch['meta'].items()}}, [make_samples(batch)[i]]


def score_on_rank(rank, folder):
    """Score two clips on each of two processes, the second's padded by a repetition as data loaders do."""
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    metric = RestorationQuality()
    for i in ((0, 2), (1, 0))[rank]:
        metric.process(*make_clip(i))
    scalars = metric.evaluate(3)
    torch.save((scalars, metric.rows), f'{folder}/rank{rank}.pth')
    torch.distributed.destroy_process_group()


def test_two_processes_agree_on_the_mean_over_all_clips(tmp_path):
    torch.multiprocessing.spawn(score_on_rank, (str(tmp_path),), nprocs=2)
    (first, rows), (second, _) = (torch.load(tmp_path / f'rank{rank}.pth') for rank in range(2))
    alone = RestorationQuality()
    for i in range(3):
        alone.process(*make_clip(i))
    assert first == second == pytest.approx(alone.evaluate(3))
    assert [row['clip'] for row in rows] == ['clip0/0007', 'clip1/0007', 'clip2/0007']


@pytest.mark.parametrize(
    ('name', 'stem'), [('GOPR0372_07_00/000047', 'GOPR0372_07_00_000047'), ('../a b:c', '_a_b_c'), ('夜/1', '夜_1')]
)
def test_file_names_are_safe(name, stem):
    assert file_stem(name) == stem


def test_quality_at_each_instant():
    metric = RestorationQuality()
    sharp = torch.full((2, 1, 3, 16, 16), 100, dtype=torch.uint8)
    batch = {
        'blur': sharp,
        'sharp': sharp,
        'spikes': torch.zeros(2, 1, 4, 8, 8),
        'instant': torch.tensor([[0.0], [0.5]]),
        'meta': {'name': ['a', 'a'], 'first_frame': ['0', '0'], 'light': ['linear', 'linear']},
    }
    restored = [{'restored': sharp[i].float() / 255 + error} for i, error in enumerate((0.1, 0.2))]
    metric.process(batch, restored)
    scores = metric.compute_metrics(metric.results)
    assert [row['clip'] for row in metric.rows] == ['a/0@0', 'a/0@0.5']
    assert list(scores)[-2:] == ['psnr@0', 'psnr@0.5']
    assert scores['psnr@0'] == pytest.approx(psnr_of(26))
    assert scores['psnr@0.5'] == pytest.approx(psnr_of(51))
    assert scores['psnr'] == pytest.approx((psnr_of(26) + psnr_of(51)) / 2)
    assert ['tfp/psnr' in row for row in metric.rows] == [False, True]


def psnr_of(difference):
    return 20 * np.log10(255 / difference)
