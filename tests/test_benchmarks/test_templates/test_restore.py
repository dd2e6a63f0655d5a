"""docs/restore.md from the results of tests and of a long restoring."""

import json

import pytest

from vrtspike.errors import VrtSpikeError

WHERE = dict(device={'type': 'cpu', 'name': 'A', 'threads': 1}, versions={'torch': '2'}, commit='0' * 40)


def write(root, whole_db=28.5, tiled_db=28.491, tiled_sha='a'):
    for name, value, sha in (('zoo/tiny.json', whole_db, 'a'), ('tiling/tiny_tile64.json', tiled_db, tiled_sha)):
        results = dict(
            checkpoint_sha256=sha,
            tiling=dict(tile=[5, 64, 64], overlap=[2, 16, 16]),
            clips=[dict(clip='one', psnr_db=value)],
            mean_of_clips=dict(psnr_db=value),
        )
        write_record(root / 'benchmarks' / name, results)


def write_record(path, record):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


def test_clips_and_their_mean(tmp_path, render):
    write(tmp_path)
    text = render('docs/restore.md', tmp_path)
    assert '| one | 28.500 | 28.491 | -0.009 |\n| mean | 28.500 | 28.491 | -0.009 |' in text
    assert text.count('No record yet.') == 4


def test_results_of_different_checkpoints_are_refused(tmp_path, render):
    write(tmp_path, tiled_sha='b')
    with pytest.raises(VrtSpikeError, match='different checkpoints'):
        render('docs/restore.md', tmp_path)


def test_a_long_clip_has_a_row_for_every_run(tmp_path, render):
    def restored(first, end, status, seconds, residents):
        step = (end - first) / (len(residents) - 1)
        readings = [
            dict(frames=first + i * step, resident_mib=resident, peak_mib=resident + 1.0)
            for i, resident in enumerate(residents)
        ]
        peak = max(residents) + 1.0
        return dict(
            first_frame=first, frames_at_end=end, exit_status=status, seconds=seconds, peak_mib=peak, readings=readings
        )

    write(tmp_path)
    runs = [
        restored(0, 300, -9, 600.0, [100.0, 1400.4, 1500.0, 1450.0, 1460.0]),
        restored(300, 1000, 0, 700.0, [100.0, 1401.0, 1500.0, 1450.0, 1461.0]),
    ]
    record = dict(
        config='vrt_spike_tiny',
        checkpoint='iter_9.pth',
        options=['--tile', '96'],
        frames=1000,
        size=[360, 640],
        runs=runs,
        psnr_db=28.123,
        blur_psnr_db=25.5,
        **WHERE,
    )
    write_record(tmp_path / 'benchmarks/records/restoring/long_clip.json', record)
    text = render('docs/restore.md', tmp_path)
    assert '| 0 | 300 | killed | 2.00 | 1,501 | 1,400 | 1,460 |\n' in text
    assert '| 300 | 1,000 | finished | 1.00 | 1,501 | 1,401 | 1,461 |\n' in text
    assert '--spike clip/spike --out restored` on 1,000 frames of 360 x 640 (A, 1 thread, torch 2, commit' in text
    assert 'configs/vrt_spike_tiny.py work_dirs/vrt_spike_tiny/iter_9.pth --tile 96 --blur clip/blur' in text
    assert 'PSNR is 28.12 dB restored and 25.50 dB blurred.' in text


def test_what_thresholds_cost_two_networks(tmp_path, render):
    def results(config, *scores):
        thresholds = [dict(factor=factor, psnr_db=psnr, loss_db=scores[0][1] - psnr) for factor, psnr in scores]
        return dict(config=config, thresholds=thresholds, **WHERE)

    write(tmp_path)
    record = dict(
        plain=results('a.py', (1.0, 28.0), (2.0, 27.5)),
        random_threshold=results('b.py', (1.0, 27.9), (2.0, 27.8), (4.0, 27.0)),
    )
    write_record(tmp_path / 'benchmarks/records/restoring/thresholds.json', record)
    lines = render('docs/restore.md', tmp_path).splitlines()
    assert '| network | dB at 1x | dB at 2x (loss) | dB at 4x (loss) |' in lines
    assert '| `a.py`, trained with the threshold of the data | 28.00 | 27.50 (0.50) |  |' in lines
    assert '| `b.py`, trained with `RandomThreshold` | 27.90 | 27.80 (0.10) | 27.00 (0.90) |' in lines


def test_spikes_alone_are_compared_with_plain_reconstructions(tmp_path, render):
    write(tmp_path)
    for name, psnr in (('demo', 31.0), ('spikezoo', 33.0)):
        record = dict(mean_of_frames=dict(tfp_psnr_db=26.25, tfi_psnr_db=26.5, psnr_db=psnr), **WHERE)
        write_record(tmp_path / f'benchmarks/records/restoring/spikes_alone_{name}.json', record)
    text = render('docs/restore.md', tmp_path)
    assert '| held-out demo clips, 64 steps | 26.25 | 26.50 | 31.00 |' in text
    assert "| Spike-Zoo's streams, 41 steps | 26.25 | 26.50 | 33.00 |" in text
