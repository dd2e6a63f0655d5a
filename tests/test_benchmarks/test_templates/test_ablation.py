"""The records of ablations and the page made from them."""

import json
from pathlib import Path

import jsonschema
import pytest

from vrtspike.experiments.variants import read_variants

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / 'benchmarks/ablation.schema.json').read_text())
RECORDS = sorted((ROOT / 'benchmarks/ablations').glob('*.json'))


def variant(name, psnr, difference):
    interval = {'mean': psnr, 'low': psnr - 0.1, 'high': psnr + 0.1}
    run = dict(seed=0, psnr_db=psnr, gain_db=3.0, commit='0' * 40)
    return dict(
        name=name,
        overrides={},
        plugins=[],
        failure=None,
        runs=[run] * 3,
        parameters=9,
        gmacs=0.5,
        iteration_ms=10.0,
        stage_ms={'fuse1': 1.0},
        peak_memory_mib=5.0,
        psnr_db=interval,
        gain_db=interval,
        ssim=interval,
        difference_db=difference,
    )


@pytest.fixture
def root(tmp_path):
    difference = dict(mean=0.5, low=0.2, high=0.8, seeds=[0, 1, 2], verdict='better', why='')
    record = dict(
        config='base.py',
        common={},
        seeds=[0, 1, 2],
        iterations=9,
        versions={'torch': '2'},
        commit='0' * 40,
        device={'type': 'cpu', 'name': 'x', 'threads': 1},
        variants=[variant('reference', 28.0, None), variant('head', 28.5, difference)],
    )
    (tmp_path / 'benchmarks/ablations').mkdir(parents=True)
    (tmp_path / 'benchmarks/ablations/plugins.json').write_text(json.dumps(record))
    return tmp_path


def test_the_page_gets_the_record(root, render):
    jsonschema.validate(json.loads((root / 'benchmarks/ablations/plugins.json').read_text()), SCHEMA)
    page = render('docs/ablation.md', root)
    assert '| head | 3 | 28.50 | +28.50 | +0.50 [+0.20, +0.80] | better |' in page
    assert '`base.py`, 9 iterations, seeds 0, 1, 2; x, 1 thread, torch 2, commit 00000000.' in page


def test_without_a_record_the_page_says_so(root, render):
    page = render('docs/ablation.md', root)
    assert page.count('No record yet') == 7
    assert 'This one gained' not in page


def test_the_text_says_what_the_reference_gained(root, render):
    record = json.loads((root / 'benchmarks/ablations/plugins.json').read_text())
    record['variants'][0]['runs'] = [{**record['variants'][0]['runs'][0], 'gain_db': gain} for gain in (2.51, 3.49, 3)]
    (root / 'benchmarks/ablations/fusion_heads.json').write_text(json.dumps(record))
    assert 'This one gained 2.5 to 3.5 dB, depending on the seed.' in render('docs/ablation.md', root)


@pytest.mark.parametrize('path', RECORDS, ids=lambda path: path.stem)
def test_records_follow_the_schema_and_hold_their_variants(path):
    record = json.loads(path.read_text())
    jsonschema.validate(record, SCHEMA)
    names = [each.name for each in read_variants(path.with_suffix('.yaml'))]
    assert [each['name'] for each in record['variants']] == ['reference', *names]


def test_a_difference_over_few_seeds_cannot_be_more_than_not_informative(root):
    record = json.loads((root / 'benchmarks/ablations/plugins.json').read_text())
    record['variants'][1]['difference_db']['seeds'] = [0, 1]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, SCHEMA)
