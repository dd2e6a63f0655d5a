import ast
import json
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


def test_the_script_measures_what_the_record_holds():
    tree = ast.parse((ROOT / 'benchmarks/data_speed.py').read_text(encoding='utf-8'))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert set(RECORD) - {'versions', 'device', 'commit'} <= texts
