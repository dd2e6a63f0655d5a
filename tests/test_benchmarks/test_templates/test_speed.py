"""docs/speed.md from records of the published code against ours, and of growth."""

import json

WHERE = dict(device={'type': 'cpu', 'name': 'A', 'threads': 2}, versions={'torch': '2'}, commit='0' * 40)


def write(root, **records):
    precision = {
        name: {'mean_of_clips': {'psnr_db': psnr}} for name, psnr in (('float32', 28.0), ('bfloat16', 27.9988))
    }
    (root / 'benchmarks/records/restoring').mkdir(parents=True)
    (root / 'benchmarks/records/restoring/precision.json').write_text(json.dumps(precision))
    folder = root / 'benchmarks/records/speed'
    folder.mkdir(parents=True)
    for name, record in records.items():
        (folder / f'{name}.json').write_text(json.dumps(record | WHERE))


def test_without_a_record_it_says_so(tmp_path, render):
    write(tmp_path)
    text = render('docs/speed.md', tmp_path)
    assert text.count('No record yet.') == 3
    assert 'changed the PSNR of the tiny network by −0.0012 dB' in text


def test_times_memory_and_how_far_results_are_apart(tmp_path, render):
    ratio = dict(median=2.25, min=2.2, max=2.3)
    forward = dict(
        row='forward',
        size=64,
        medians_ms=dict(
            published=dict(median=9000.4), published_memory_kept=dict(median=6000.0), float32=dict(median=4000.0)
        ),
        speedups=dict(float32=dict(published=ratio, published_memory_kept=dict(median=1.5, min=1.4, max=1.6))),
        agreement=dict(float32=dict(output_max_relative=4.13e-5)),
        load_average=[0.5, 1.25],
    )
    memory = dict(
        row='memory',
        size=64,
        published_plain_mib=8000.0,
        ours_plain_mib=6000.0,
        published_checkpointed_mib=4000.0,
        ours_checkpointed_mib=1000.0,
        load_average=[1.0, 1.0],
    )
    write(tmp_path, cpu=dict(kind='vs_upstream', frames=6, rows=[forward, memory]))
    text = render('docs/speed.md', tmp_path)
    assert 'A, 2 threads, torch 2, commit 00000000; load average 0.5 to 1.2' in text
    assert '| ratio | largest difference of the output | published, memory kept | ratio to that time |' in text
    assert (
        '| forward, float32 | 64 x 64 | 9,000 ms | 4,000 ms | 2.25x (2.20–2.30) | 4.1e-05 | 6,000 ms '
        '| 1.50x (1.40–1.60) |' in text
    )
    assert '| peak memory of a training iteration | 64 x 64 | 8,000 MiB | 6,000 MiB | 0.75x |' in text
    assert '| the same, both sides checkpointing all | 64 x 64 | 4,000 MiB | 1,000 MiB | 0.25x |' in text


def test_a_gpu_has_one_way_to_free_memory(tmp_path, render):
    ratio = dict(median=2.25, min=2.2, max=2.3)
    forward = dict(
        row='forward',
        size=64,
        medians_ms=dict(published=dict(median=90.0), bfloat16=dict(median=40.0)),
        speedups=dict(bfloat16=dict(published=ratio)),
        agreement=dict(bfloat16=dict(output_max_relative=4.13e-5)),
        load_average=[0.5, 1.25],
    )
    write(tmp_path, gpu=dict(kind='vs_upstream', frames=6, rows=[forward]))
    text = render('docs/speed.md', tmp_path)
    assert '| forward, bfloat16 | 64 x 64 | 90 ms | 40 ms | 2.25x (2.20–2.30) | 4.1e-05 |\n' in text
    assert 'memory kept' not in text


def test_growth(tmp_path, render):
    points = [dict(shape=[1, 4, side, side], step_ms=side * 10.0, peak_memory_mib=1000.0 + side) for side in (50, 100)]
    write(
        tmp_path, growth=dict(kind='growth', config='a.py', rows=[dict(row='pixels', time_exponent=0.5, points=points)])
    )
    text = render('docs/speed.md', tmp_path)
    assert 'grows with the number of pixels to the power of 0.50:' in text
    assert '| 4 x 100 x 100 | 1,000 | 25,000 | 1,100 |' in text


def test_recomputation_within_budgets(tmp_path, render):
    def row(name, branches, saved, peak, times, expected):
        measured = dict(saved_mib=saved, peak_memory_mib=peak, times_ms=times, expected_ms=expected)
        return dict(row=name, branches=branches, **measured)

    rows = [row('none', '0000', 900.4, 2000.0, [5000.0, 4000.0], 0.0)]
    rows.append(row('auto, 500.0 MiB', '0110', 499.6, 1600.0, [4300.0, 4400.0], 250.0))
    write(tmp_path, recompute=dict(kind='recompute', config='a.py', shape=[1, 5, 64, 48], rows=rows))
    text = render('docs/speed.md', tmp_path)
    assert 'iteration of `a.py`, 5 frames of 64 x 48 (`benchmarks/recompute.py`, A, 2 threads' in text
    assert 'the fastest of 2 interleaved iterations' in text
    assert '| none | 0 of 4 | 900 | 2,000 | 4,000 | 0 | 0 |' in text
    assert '| auto, 500.0 MiB | 2 of 4 | 500 | 1,600 | 4,300 | 300 | 250 |' in text
