"""Runs the tool as its users do, on the older code's logs and on made-up ones."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tool_processes import run_tool

from vrtspike.records.rank_files import file_of_rank
from vrtspike.records.stage_costs import Owner, RunLine, Sample, Span
from vrtspike.records.trace import FILE_NAME, trace_of, write_trace

DATA = Path(__file__).parents[1] / 'test_analysis/data'
TIMING = str(DATA / 'legacy_timing.txt')
RUN = json.loads("""{
    "kind": "run", "version": 1, "rank": 0, "world_size": 1, "stages": ["stage1", "stage8"], "device": {"name": "GPU"},
    "versions": {}, "commit": null
}""")
SAMPLE = {'kind': 'sample', 'rank': 0, 'clips': 1, 'frames': 5}


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return run_tool('analyze_logs', *arguments, cwd=cwd)


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Two runs: 'baseline', and 'fast', whose stage 8 takes half the time and whose memory is lower."""
    folder = tmp_path_factory.mktemp('runs')
    for name, stage8_ms, memory in (('baseline', 300.0, 4000.0), ('fast', 150.0, 3000.0)):
        (folder / name).mkdir()
        samples = []
        for i in range(64):
            wobble = 1 + 0.01 * ((i * 7) % 5 - 2)
            stages = {'stage1': {'forward_ms': 100.0}, 'stage8': {'forward_ms': stage8_ms * wobble}}
            changing = {'iteration': i + 1, 'loss': 1 / (i + 1), 'iteration_ms': 100 + stage8_ms * wobble}
            samples.append({**SAMPLE, **changing, 'memory_mib': memory, 'stages': stages})
        (folder / name / 'stage_costs.jsonl').write_text('\n'.join(map(json.dumps, [RUN, *samples])) + '\n')
    return folder


def test_report_in_every_form(folder):
    done = run('baseline', '--json', 'out/r.json', '--html', 'out/r.html', '--plot', 'out/r.png', cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    for text in ('Summary', 'Bottlenecks', '1. stage8', 'Findings', 'depths'):
        assert text in done.stdout
    report = json.loads((folder / 'out/r.json').read_text())
    assert report['samples'] == 64
    assert report['stages']['stage8']['share'] == pytest.approx(0.75, abs=0.001)
    assert (folder / 'out/r.html').read_text().startswith('<!DOCTYPE html>')
    assert (folder / 'out/r.png').read_bytes().startswith(b'\x89PNG')
    assert sorted(path.name for path in (folder / 'out').iterdir()) == ['r.html', 'r.json', 'r.png']


def test_json_alone_on_stdout(folder):
    done = run(TIMING, '--json', '-', cwd=folder)
    report = json.loads(done.stdout)
    assert report['source_format'] == 'legacy_timing'
    assert report['stages']['stage8']['forward_ms']['median'] == 590.5


def test_many_logs_and_patterns(folder):
    done = run(str(DATA / 'legacy_p*.log'), str(DATA / 'legacy_train.log'), '--json', '-', cwd=folder)
    report = json.loads(done.stdout)
    assert len(report['sources']) == 2
    assert report['validation']['psnr']['last'] == 29.0


def test_compare(folder):
    done = run('compare', 'baseline', 'fast', '--json', 'c.json', cwd=folder)
    assert done.returncode == 0, done.stderr
    assert 'faster' in done.stdout
    found = json.loads((folder / 'c.json').read_text())
    assert found['stages']['stage8']['ratio'] == pytest.approx(0.5)
    assert found['stages']['stage8']['verdict'] == 'faster'
    assert found['memory_mib']['ratio'] == 0.75


def test_compare_draws_both_runs(folder):
    done = run('compare', 'baseline', 'fast', '--html', 'out/c.html', '--plot', 'out/c.svg', cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    said = 'stage8 changes most, from 300.0 to 150.0 ms per clip (x0.50); 1 of 2 stages differ by more than noise.'
    page, picture = ((folder / 'out' / name).read_text(encoding='utf-8') for name in ('c.html', 'c.svg'))
    assert said in page
    assert 'stage8 changes most, from 300.0 to 150.0' in picture
    assert all(f'>{name}</text>' in picture for name in ('baseline', 'fast', 'Two runs compared'))


def test_trace_joins_ranks(tmp_path):
    for rank in range(2):
        spans = [Span(Owner('stage1'), 0.0, 2.0)]
        sample = Sample(iteration=1, iteration_ms=2.0, times={}, clips=1, frames=5, rank=rank, spans=spans)
        run_line = RunLine(version=1, rank=rank, world_size=2, stages=['stage1'])
        write_trace(tmp_path / 'run' / file_of_rank(FILE_NAME, rank), trace_of([sample], run_line))
    for name in ('joined.json', 'joined.json.gz'):
        done = run('trace', 'run', '--out', name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f'{name}: 2 ranks, ')
    events = json.loads((tmp_path / 'joined.json').read_bytes())['traceEvents']
    assert {event['pid'] for event in events if event['name'] == 'stage1'} == {0, 1}
    assert gzip.decompress((tmp_path / 'joined.json.gz').read_bytes()) == (tmp_path / 'joined.json').read_bytes()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('trace', '.', '--out', 'x.json'), "no trace in '.'"),
        (('trace', 'run', '--out', 'run/trace.json.gz'), 'is one of the traces to merge'),
    ],
)
def test_trace_refuses(tmp_path, arguments, message):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/trace.json.gz').touch()
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert message in done.stderr
    assert 'Traceback' not in done.stderr


def test_check_passes_or_fails(folder):
    checks = ('--only', 'loss', 'memory', 'throughput', 'bottleneck')
    done = run('check', 'fast', '--against', 'baseline', *checks, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ['pass'] * 4
    done = run('check', 'baseline', '--against', 'fast', *checks, cwd=folder)
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines()] == ['pass', 'fail', 'fail', 'fail']
    assert done.stderr == ''


def test_what_was_not_measured_fails(folder):
    done = run('check', 'fast', '--against', 'baseline', '--json', '-', cwd=folder)
    assert done.returncode == 1
    assert {check['name']: check['passed'] for check in json.loads(done.stdout)}['quality'] is None


def test_plot_curve(folder):
    arguments = ('--keys', 'loss', 'stage8_ms', '--legend', 'a', 'b', 'c', 'd', '--title', 'T', '--out', 'curves.png')
    done = run('plot_curve', 'baseline', 'fast', *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / 'curves.png').read_bytes().startswith(b'\x89PNG')
    done = run('plot_curve', 'baseline', '--legend', 'a', 'b', cwd=folder)
    assert done.returncode == 2
    assert 'expected 1 labels, found 2' in done.stderr
    done = run('plot_curve', 'baseline', cwd=folder)
    assert done.returncode == 1
    assert done.stderr.startswith('error: there is no screen')


def test_validations_numbered_as_epochs(folder):
    arguments = ('--keys', 'psnr', '--start-epoch', '1', '--eval-interval', '2', '--out', 'psnr.svg')
    done = run('plot_curve', str(DATA / 'legacy_train.log'), *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr


def test_cal_train_time(folder):
    done = run('cal_train_time', 'baseline', 'fast', cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('Analyze train time of') == 2
    assert 'average iter time: 0.4000 s/iter' in done.stdout
    assert run('cal_train_time', 'baseline', '--include-outliers', cwd=folder).returncode == 0


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere'], "error: there is no log 'nowhere'"),
        (['baselin/*.jsonl'], 'error: no file matches the pattern'),
        (['compare', 'baseline', TIMING], 'error: baseline is vrtspike and'),
        (
            ['plot_curve', 'baseline', '--keys', 'los', '--out', 'x.png'],
            "error: baseline has no curve 'los'; did you mean",
        ),
        (['baseline', '--plot', 'x.abc'], "error: x.abc: no picture can be written as '.abc'"),
    ],
)
def test_one_clear_error(arguments, message, folder):
    done = run(*arguments, cwd=folder)
    assert done.returncode == 1
    assert done.stderr.startswith(message), done.stderr
    assert done.stderr.count('\n') == 1


def test_analysis_imports_no_torch():
    code = (
        'import sys, vrtspike.analysis, vrtspike.reporting.report_plots, vrtspike.reporting.run_page, '
        'vrtspike.reporting.terminal, vrtspike.cli\n'
        'sys.exit(" ".join({"torch", "vrtspike.profiling"} & set(sys.modules)) or 0)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
