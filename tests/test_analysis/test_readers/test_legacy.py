"""The older code's logs; the expectations are read off the files in ``data`` by eye."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrtspike.analysis.logs import RunLog, Source
from vrtspike.analysis.readers import read_logs, text
from vrtspike.analysis.readers.legacy_names import row_of, stage_of


def shares(log) -> dict[str, float]:
    costs = log.costs()
    return {name: costs.total(f'stages/{name}/total_ms') / costs.total('iteration_ms') for name in log.stages()}


@pytest.mark.parametrize(
    ('theirs', 'ours'),
    [
        ('VRT处理', 'vrt'),
        ('VRT处理/Stage8', 'stage8'),
        ('VRT处理/LayerNorm', 'vrt/layer_norm'),
        ('Spike编码器', 'spike_encoder'),
        ('Spike编码器/尺度0', 'spike_encoder/scale0'),
        ('Spike时间自注意力/维度转换', 'tsa/permute'),
        ('Spike时间自注意力/Self-Attention', 'tsa/self_attention'),
        ('Spike时间自注意力/块处理', 'tsa/chunks'),
        ('VRT融合/尺度1/转换', 'fuse/scale1/permute'),
        ('VRT融合/Cross-Attention', 'fuse/cross_attention'),
        ('VRT融合/FFN', 'fuse/ffn'),
        ('别的', '别的'),
    ],
)
def test_names(theirs, ours):
    assert stage_of(theirs) == ours


class TestTiming:
    def test_every_figure_goes_where_it_belongs(self, data):
        log = read_logs([data / 'legacy_timing.txt'])
        costs = log.costs()
        assert log.formats == ['legacy_timing']
        assert costs.column('iteration').tolist() == [1, 2, 3]
        assert costs.column('iteration_ms').tolist() == [1805.28, 1790.50, 1801.00]
        assert costs.column('stages/stage8/forward_ms').tolist() == [965.0, 587.0, 590.5]
        assert costs.mean('stages/spike_encoder/total_ms') == pytest.approx(3.1)
        assert costs.mean('parts/spike_encoder/scale0/total_ms') == pytest.approx(1.2)
        assert costs.mean('parts/tsa/chunks/total_ms') == pytest.approx(0.2)
        assert costs.mean('stages/fuse/total_ms') == pytest.approx(150.23)

    def test_no_millisecond_is_counted_twice(self, data):
        log = read_logs([data / 'legacy_timing.txt'])
        assert sum(shares(log).values()) == pytest.approx(1)
        # Its lines say: everything, less stages 8, 2 and 1, fusion, the spike side, and what no root accounts for.
        others = (965 + 587 + 590.5) + 3 * (269 + 200 + 150.23 + 3.1 + 1.5 + 0.69)
        assert shares(log)['vrt_rest'] == pytest.approx(1 - others / (1805.28 + 1790.5 + 1801))

    def test_averages_since_the_start(self, data):
        averages = read_logs([data / 'legacy_timing.txt']).averages
        assert averages['stage8'] == 586.90
        assert averages['forward'] == 1789.72
        assert averages['tsa/self_attention'] == 0.8

    def test_truncation_loses_one_step_at_most(self, data, tmp_path):
        whole = (data / 'legacy_timing.txt').read_text(encoding='utf-8')
        third = whole.rindex('Step 3')
        path = tmp_path / 'cut.txt'
        path.write_text(whole[: third + 200], encoding='utf-8')
        source = read_logs([path]).sources[0]
        assert source.records in (2, 3)
        path.write_text(whole[:third] + 'Step 3\n====\nVRT处理      :  17', encoding='utf-8')
        source = read_logs([path]).sources[0]
        assert (source.records, source.damaged) == (2, 1)


class TestPrint:
    def test_every_figure_goes_where_it_belongs(self, data):
        log = read_logs([data / 'legacy_print.log'])
        costs = log.costs()
        assert log.formats == ['legacy_print']
        assert costs.rows == 2
        expected = {
            'stages/spike_encoder': 128.40,
            'stages/tsa': 567.89,
            'stages/stage1': 234.56,
            'stages/fuse1': 248.48,
            'stages/stage8': 500.0,
            'stages/vrt_rest': 1234.56 - 234.56 - 248.48 - 500,
            'parts/spike_encoder/scale1': 20.0,
            'parts/tsa/self_attention': 196.78,
            'parts/fuse1/permute': 0.23,
            'parts/fuse1/attend': 248.25,
        }
        for name, ms in expected.items():
            assert costs.mean(f'{name}/forward_ms') == pytest.approx(ms), name
        assert sum(shares(log).values()) == pytest.approx(1)

    def test_a_pass_that_was_cut_off_is_damage(self, data, tmp_path):
        path = tmp_path / 'cut.log'
        whole = (data / 'legacy_print.log').read_text(encoding='utf-8')
        path.write_text(
            whole + '  [VRT] Stage 1 (1x分辨率)耗时: 234.56ms\n  [VRT] Stage 2 (1/2x分辨率)耗时: 23', encoding='utf-8'
        )
        source = read_logs([path]).sources[0]
        assert source.records == 2
        assert source.damaged == 2

    def test_prefixes_of_a_logger_do_no_harm(self, data, tmp_path):
        lines = (data / 'legacy_print.log').read_text(encoding='utf-8').splitlines()
        path = tmp_path / 'prefixed.log'
        path.write_text('\n'.join(f'2025-10-17 12:00:00 INFO {line}' for line in lines), encoding='utf-8')
        assert read_logs([path]).costs().mean('stages/tsa/total_ms') == pytest.approx(567.89)


class TestTrain:
    def test_every_figure_goes_where_it_belongs(self, data):
        log = read_logs([data / 'legacy_train.log'])
        assert log.formats == ['legacy_train']
        assert log.costs().column('iteration_ms').tolist() == [6000, 6100, 6200]
        last = {name: series.summary.last for name, series in log.series.items()}
        assert last['loss'] == (30, 0.015)
        assert last['lr'] == (30, 1e-4)
        assert last['memory_mib'] == (30, 1.2 * 1024)
        assert last['samples_per_s'] == (30, 0.5)
        assert last['data_ms'] == (30, 0.1)
        assert last['psnr'] == (30, 29.0)
        assert (last['psnr_y'][1], last['ssim_y'][1], last['lpips'][1]) == (29.9, 0.8801, 0.1203)

    def test_nan_and_truncation(self, tmp_path):
        path = tmp_path / 'train.log'
        path.write_text(
            'step 1/9 | loss=nan charb=nan lr=1.00e-04 | 0.5 samples/s\nstep 2/9 | lo\n'
            'step 3/9 | loss=0.5 lr=1.00e-04\n'
        )
        log = read_logs([path])
        assert (log.series['loss'].summary.not_finite, log.series['loss'].summary.first_not_finite) == (1, 1)
        assert (log.sources[0].records, log.sources[0].damaged) == (2, 1)


def test_one_file_may_mix_them(data, tmp_path):
    path = tmp_path / 'mixed.log'
    names = ('legacy_print.log', 'legacy_train.log')
    path.write_text('hello\n'.join((data / name).read_text(encoding='utf-8') for name in names), encoding='utf-8')
    log = read_logs([path])
    assert log.sources[0].formats == ['legacy_print', 'legacy_train']
    assert log.cost_format == 'legacy_print'
    assert log.series['psnr'].summary.last[1] == 29.0


def test_rest_is_never_negative():
    row = row_of(100.0, {'vrt': 50.0, 'tsa': 80.0}, {'stage1': 60.0}, {})
    assert row['stages/vrt_rest/total_ms'] == 0
    assert row['stages/other/total_ms'] == 0
    assert row['accounted_ms'] == 140


LINES = st.sampled_from(
    [
        'Step 3',
        '================================================================================',
        '前向传播总耗时   :  1805.28ms ( 50.0%) [avg:  1789.72ms]',
        '  - Stage8    :   965.00ms [avg:   5.0ms]',
        'Total---:  3610.53ms',
        '前向传播总耗时: 1930.85ms',
        '  - Spike编码器: 128.40ms (6.7%)',
        '[主模型] VRT处理总耗时: 1.0ms',
        '  [VRT] Stage 1 (1x分辨率)耗时: 234.56ms',
        'step 950/8880 | loss=0.0312',
        '[val] step 1000 | PSNR_RGB=28.54',
        '[epoch] 3 | steps=671 | time=4026.00s',
        '[epoch] 3 | steps=0 | time=1s',
        '  - VRT',
        'anything else',
        '',
    ]
)


@given(st.lists(st.one_of(LINES, st.text(max_size=30), LINES.flatmap(lambda line: st.just(line[: len(line) // 2])))))
@settings(max_examples=150, deadline=None)
def test_no_order_of_lines_is_fatal(lines):
    source, log = Source('made up'), RunLog('made up')
    text.read([line.encode('utf-8', 'replace') for line in lines], source, log)
    assert source.lines == len(lines)
    assert source.damaged <= len(lines) + 1
