import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RECORD = json.loads((ROOT / 'benchmarks/records/data/speed.json').read_text(encoding='utf-8'))


def test_the_page_shows_the_record():
    text = (ROOT / 'docs/data.md').read_text(encoding='utf-8')
    for key in ('read_and_voxelise_56x360x640_ms', 'clips_5x256x256_per_s_and_core', 'cores_for_16_clips_per_s'):
        assert f'| {RECORD[key]:.1f} |' in text, key


def test_another_record_changes_the_page(tmp_path, render):
    record = RECORD | {'clip_5x256x256_ms': 1000.0, 'of_which_decoding_its_10_images_ms': 250.0}
    path = tmp_path / 'benchmarks/records/data/speed.json'
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    assert 'takes 25 % of the time of a clip' in render('docs/data.md', tmp_path)


def test_motion_is_shown_where_it_was_measured(tmp_path, render):
    row = dict(p10_pixels=1.0, p50_pixels=2.0, p90_pixels=3.0, p99_pixels=4.0, p100_pixels=5.0)
    folder = tmp_path / 'benchmarks/records/data'
    folder.mkdir(parents=True)
    (folder / 'speed.json').write_text(json.dumps(RECORD))
    assert 'most |' not in render('docs/data.md', tmp_path)
    (folder / 'motion.json').write_text(json.dumps(dict(size=128, motion=[dict(row, split='val')])))
    assert '| held-out | 1.0 | 2.0 | 3.0 | 4.0 | 5.0 |' in render('docs/data.md', tmp_path)
