import json
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RECORD = json.loads((ROOT / 'benchmarks/records/data/speed.json').read_text(encoding='utf-8'))


def test_the_document_shows_the_record():
    text = (ROOT / 'docs/data.md').read_text(encoding='utf-8')
    for key in ('read_and_voxelise_56x360x640_ms', 'clips_5x256x256_per_s_and_core', 'cores_for_16_clips_per_s'):
        assert f'| {RECORD[key]:.1f} |' in text, key


def test_another_record_makes_the_document_outdated(tmp_path, update):
    for name in ('docs/data.md', 'benchmarks/records/data/speed.json'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    record = RECORD | {'clip_5x256x256_ms': 1000.0, 'of_which_decoding_its_10_images_ms': 250.0}
    (tmp_path / 'benchmarks/records/data/speed.json').write_text(json.dumps(record))
    assert list(map(str, update('data', tmp_path))) == ['docs/data.md: speed']
    assert 'is 25 % of a clip' in (tmp_path / 'docs/data.md').read_text(encoding='utf-8')
