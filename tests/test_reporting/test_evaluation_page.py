"""The page, as files and as a headless browser shows it."""

import json
import re

import msgspec
import numpy as np
import pytest

from vrtspike.inference.evaluation import write_pictures
from vrtspike.records.evaluation import EvaluationResults, SequenceScores
from vrtspike.reporting.evaluation_page import data_url, error_map, write_page

SCORES = dict(psnr_db=30.0, blur_psnr_db=25.0, gain_db=5.0, ssim=0.9, blur_ssim=0.8, psnr_y_db=31.0, tfp_psnr_db=20.0)
RESULTS = dict(
    config='configs/x.py',
    checkpoint='run/iter_3.pth',
    checkpoint_sha256='ab' * 32,
    mean_of_clips=SCORES,
    mean_of_frames=SCORES,
    clips=[dict(clip='</script><b>', frames=2, **SCORES)],
    thresholds=[dict(factor=1.0, psnr_db=30.0, loss_db=0.0), dict(factor=2.0, psnr_db=29.5, loss_db=0.5)],
    cost=dict(parameters=1234567, restore_ms_per_frame=12.3, peak_memory_mib=None),
    training=dict(iterations=700, iteration_ms_median=734.0, peak_memory_mib=1324.0),
    training_stages=[
        dict(stage='flow', forward_ms=58.0, recompute_ms=0.0, backward_ms=0.0, share=0.4),
        dict(stage='stage1', forward_ms=29.0, recompute_ms=0.0, backward_ms=58.0, share=0.6),
    ],
    device=dict(type='cpu', name='a processor'),
    versions=dict(torch='2.13.0'),
    tiling={},
    worst_frames=[],
    commit=None,
)
LEVELS = dict(restored=110, blurred=130, sharp=100, tfp=60, tfi=70)


@pytest.fixture
def page(tmp_path):
    """A page of one clip of three frames, two of them with pictures."""
    rows = [{'frame': f'{i:03d}', **SCORES} for i in range(3)]
    for stem in ('000', '002'):
        images = {kind: np.full((16, 24, 3), level, np.uint8) for kind, level in LEVELS.items()}
        write_pictures(tmp_path / 'pictures' / '_script_b_', stem, images)
    scores = [SequenceScores(factor=factor, clip='</script><b>', seconds=1.0, frames=rows) for factor in (1.0, 2.0)]
    results = msgspec.convert(RESULTS, EvaluationResults)
    write_page(tmp_path / 'results.html', results, scores, tmp_path / 'pictures')
    return tmp_path / 'results.html'


def data_of(text):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL).group(1))


def test_it_is_self_contained(page):
    text = page.read_text(encoding='utf-8')
    assert not re.search(r'(src|href)="|url\(|@import|fetch\(|XMLHttp', text)
    assert set(re.findall(r'https?://[^\'"\s]+', text)) <= {'http://www.w3.org/2000/svg'}


def test_it_holds_clips_scores_and_cost(page):
    text = page.read_text(encoding='utf-8')
    (clip,) = data_of(text)['clips']
    assert clip['name'] == '</script><b>'
    assert [row['frame'] for row in clip['curve']] == ['000', '001', '002']
    assert [frame['frame'] for frame in clip['frames']] == ['000', '002']
    assert set(clip['frames'][0]['images']) == {*LEVELS, 'error_blurred', 'error_restored'}
    assert clip['frames'][0]['psnr'] == {'blurred': 18.59, 'restored': 28.13}
    for expected in ('1,234,567', '12 ms per frame', '734 ms per iteration', '29.50 dB (-0.50)', 'ab' * 32):
        assert expected in text
    assert text.count('</script>') == 2  # a name cannot end the element that holds the data


def test_it_shows_what_the_stages_cost(page):
    text = page.read_text(encoding='utf-8')
    assert '<th>stage</th><th>forward ms</th><th>backward ms</th><th>share</th>' in text
    assert '<td>stage1</td><td>29.00</td><td>58.00</td><td>60.0%</td>' in text
    assert '<td>flow</td><td>58.00</td><td></td><td>40.0%</td>' in text


def test_without_measured_stages_there_is_no_table_of_them(page, tmp_path):
    results = msgspec.convert({**RESULTS, 'training_stages': []}, EvaluationResults)
    scores = [SequenceScores(factor=1.0, clip='x', seconds=1.0, frames=[])]
    write_page(tmp_path / 'none.html', results, scores, tmp_path / 'pictures')
    assert 'Cost of the stages' not in (tmp_path / 'none.html').read_text(encoding='utf-8')


def test_error_maps_go_from_black_to_white():
    black = np.zeros((4, 4, 3), np.uint8)
    assert error_map(black, black).max() == 0
    assert error_map(black, black + 200).min() == 255


def test_large_images_are_jpeg():
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    assert data_url(image).startswith('data:image/jpeg;base64,')
    assert data_url(image[:64, :64]).startswith('data:image/png;base64,')


PROBE = """<script>
const state = () => ({left: at('tag-left').textContent, right: at('tag-right').textContent,
  clip: at('image-left').style.clipPath, line: at('divider').style.left,
  dots: document.querySelectorAll('circle').length, natural: at('image-right').naturalWidth,
  frames: [...at('frame').options].map(o => o.text)});
const change = (id, value) => {
  at(id).value = value;
  at(id).dispatchEvent(new Event(id === 'slider' ? 'input' : 'change'));
};
addEventListener('load', () => {
  const seen = [state()];
  change('slider', 20); seen.push(state());
  change('frame', '0'); change('left', 'tfp'); change('right', 'error_restored'); seen.push(state());
  document.querySelectorAll('circle')[1].dispatchEvent(new MouseEvent('click')); seen.push(at('frame').value);
  document.body.textContent = 'PROBE' + JSON.stringify(seen) + 'END';
});
</script></body>"""


@pytest.mark.browser
def test_slider_views_and_curve_work_in_a_browser(page, tmp_path, browse):
    probe = tmp_path / 'probe.html'
    probe.write_text(page.read_text(encoding='utf-8').replace('</body>', PROBE), encoding='utf-8')
    found = re.search('PROBE(.*)END', browse(probe, '--dump-dom'))
    start, moved, chosen, clicked = json.loads(found.group(1).replace('&lt;', '<').replace('&gt;', '>'))
    assert start['left'] == 'blurred input 18.59 dB'
    assert start['right'] == 'restored 28.13 dB'
    assert (start['clip'], start['line']) == ('inset(0px 50% 0px 0px)', '50%')
    assert start['natural'] == 24  # the image was decoded
    assert start['frames'] == ['000', '002']
    assert start['dots'] == 2
    assert (moved['clip'], moved['line']) == ('inset(0px 80% 0px 0px)', '20%')
    assert (chosen['left'], chosen['right']) == ('spikes played back (TFP)', 'error of the restored frame')
    assert clicked == '1'
