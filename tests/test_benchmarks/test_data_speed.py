import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORD = json.loads((ROOT / 'benchmarks/records/data/speed.json').read_text(encoding='utf-8'))


def test_the_record_says_what_it_was_measured_with():
    assert len(RECORD['commit'].removesuffix('-dirty')) == 40
    assert RECORD['device']['name']
    assert RECORD['versions']['numpy']
    assert RECORD['repeats'] >= 15


def test_the_record_keeps_what_was_promised():
    assert RECORD['read_and_voxelise_56x360x640_ms'] <= 10
    assert RECORD['times_faster_than_index_gathering'] >= 100
    assert RECORD['cores_for_16_clips_per_s'] * RECORD['clips_5x256x256_per_s_and_core'] > 15.99


def write_table(*arguments):
    command = [sys.executable, ROOT / 'benchmarks/data_table.py', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_document_shows_the_record():
    done = write_table('--check')
    assert done.returncode == 0, done.stderr
    text = (ROOT / 'docs/data.md').read_text(encoding='utf-8')
    for key in ('read_and_voxelise_56x360x640_ms', 'clips_5x256x256_per_s_and_core', 'cores_for_16_clips_per_s'):
        assert f'| {RECORD[key]:.1f} |' in text, key


def test_another_record_makes_the_document_outdated(tmp_path):
    for name in ('docs/data.md', 'benchmarks/records/data/speed.json'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    record = RECORD | {'clip_5x256x256_ms': 1000.0, 'of_which_decoding_its_10_images_ms': 250.0}
    (tmp_path / 'benchmarks/records/data/speed.json').write_text(json.dumps(record))
    stale = write_table('--root', tmp_path, '--check')
    assert stale.returncode == 1
    assert 'run python benchmarks/data_table.py' in stale.stderr
    assert write_table('--root', tmp_path).returncode == 0
    assert 'is 25 % of a clip' in (tmp_path / 'docs/data.md').read_text(encoding='utf-8')


def test_the_script_measures_what_the_record_holds():
    tree = ast.parse((ROOT / 'benchmarks/data_speed.py').read_text(encoding='utf-8'))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert set(RECORD) - {'versions', 'device', 'commit'} <= texts
