import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / 'benchmarks/records/speed').glob('*.json'))


@pytest.mark.parametrize('path', RECORDS, ids=lambda path: path.stem)
def test_records_of_speed_follow_their_schema(path):
    jsonschema = pytest.importorskip('jsonschema')
    schema = json.loads((ROOT / 'benchmarks/speed.schema.json').read_text(encoding='utf-8'))
    jsonschema.validate(json.loads(path.read_text(encoding='utf-8')), schema)


def test_a_folder_that_is_no_clone_is_refused(tmp_path):
    command = [sys.executable, str(ROOT / 'benchmarks/vs_upstream.py'), '--upstream', str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert (
        result.stderr
        == f'error: --upstream {tmp_path}: no models/network_vrt.py there; give a clone of JingyunLiang/VRT\n'
    )


@pytest.mark.parametrize('name', ['vs_upstream', 'growth', 'long_restore', 'amp_overflow'])
def test_help_has_examples(name):
    result = subprocess.run(
        [sys.executable, str(ROOT / f'benchmarks/{name}.py'), '--help'], capture_output=True, text=True
    )
    assert result.returncode == 0
    assert 'examples:' in result.stdout
