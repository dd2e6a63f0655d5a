"""benchmarks/on_gpu.sh with an interpreter that only writes down how it was called."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'benchmarks/on_gpu.sh'
STUB = """#!/usr/bin/env bash
printf '%q ' "$@" >> "$CALLS"; echo >> "$CALLS"
[[ -n ${FAILS:-} && "$*" == *$FAILS* ]] && { echo 'it broke'; exit 1; }
exit 0
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the script and returns the process and the calls of the interpreter."""
    stub, calls = tmp_path / 'python', tmp_path / 'calls'
    stub.write_text(STUB)
    stub.chmod(0o755)
    monkeypatch.setenv('PYTHON', str(stub))
    monkeypatch.setenv('CALLS', str(calls))

    def run(*arguments):
        done = subprocess.run(['bash', SCRIPT, *arguments], capture_output=True, text=True, cwd=tmp_path)
        return done, [shlex.split(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    return run


def steps(run):
    return run('--list')[0].stdout.split()


def test_every_step_runs_an_existing_program_with_arguments_that_it_takes(run, tmp_path):
    (tmp_path / 'a clone').mkdir()
    done, calls = run('out here', '--upstream', str(tmp_path / 'a clone'))
    assert done.returncode == 0, done.stderr
    preflight, *commands = calls
    assert preflight[0] == 'benchmarks/gpu_preflight.py'
    assert len(commands) == len(steps(run))
    for program, *arguments in commands:
        if program == '-m':
            continue
        source = (ROOT / program).read_text(encoding='utf-8')
        given = [each for each in arguments if each.startswith('--')]
        assert not [name for name in given if f"'{name}'" not in source and name != '--cfg-options'], program
        assert not [path for path in arguments if path.endswith('.py') and not (ROOT / path).is_file()]
        wants_config = 'add_config_arguments(parser)' in source
        assert not wants_config or arguments[0].endswith('.py'), f'{program} needs a config'
    written = [each for command in commands for each in command if each.endswith('.json')]
    assert len(set(written)) == len(written) == len(commands) - 1
    assert {Path(path).parent for path in written} == {tmp_path / 'out here'}


def test_every_step_has_less_than_eight_minutes_and_fits_an_80_gb_card():
    found = re.findall(r'^step (\w+) (\d+) (\d+) ', SCRIPT.read_text(encoding='utf-8'), re.MULTILINE)
    assert len(found) > 8
    assert all(int(seconds) < 480 and int(gib) <= 72 for _, seconds, gib in found)


def test_steps_are_chosen_by_name_and_the_memory_checked_is_theirs(run, tmp_path):
    done, (preflight, *commands) = run('out', 'overhead', 'amp_sdpa')
    assert preflight[1:] == ['--memory-gib', '36', '--out', str(tmp_path / 'out')]
    assert [command[0] for command in commands] == ['benchmarks/stage_cost_overhead.py', 'tools/benchmark.py']
    assert 'at most 6 minutes' in done.stdout


def test_what_needs_the_published_code_is_left_out_or_refused_without_it(run):
    _, calls = run('out')
    assert not [call for call in calls if 'vs_upstream' in call[0]]
    refused, _ = run('out', 'vs_upstream_speed')
    assert refused.returncode == 2
    assert "the step 'vs_upstream_speed' needs --upstream DIR" in refused.stderr


def test_an_unknown_step_is_refused_before_anything_runs(run):
    done, calls = run('out', 'overhaed')
    assert done.returncode == 2
    assert "there is no step 'overhaed'; the steps are: tests " in done.stderr
    assert calls == []


def test_nothing_runs_if_the_check_fails(run, monkeypatch):
    monkeypatch.setenv('FAILS', 'gpu_preflight')
    done, calls = run('out', 'overhead')
    assert done.returncode == 1
    assert len(calls) == 1


def test_a_step_that_fails_is_named_and_the_others_run(run, monkeypatch):
    monkeypatch.setenv('FAILS', 'growth')
    done, calls = run('out', 'growth', 'overhead')
    assert done.returncode == 1
    assert len(calls) == 3
    assert done.stderr.startswith('failed: growth;')
    assert 'it broke' in done.stdout


def test_the_check_names_everything_that_is_missing(monkeypatch, tmp_path):
    import gpu_preflight
    import torch

    monkeypatch.setattr(gpu_preflight, 'PACKAGES', ('json', 'no_such_package'))
    monkeypatch.setattr(gpu_preflight, 'DISK_GIB', 2**40)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'a card')
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda: (20 * 2**30, 80 * 2**30))
    packages, disk, memory = gpu_preflight.problems(36, tmp_path)
    assert packages.startswith('packages: no_such_package cannot be imported')
    assert disk.startswith('disk: ')
    assert memory == 'memory: 20.0 GiB of a card are free, and the steps need 36'
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert list(gpu_preflight.problems(36, tmp_path))[2] == f'GPU: PyTorch {torch.__version__} finds none'


def test_packages_are_checked_where_nothing_is_installed():
    command = [sys.executable, '-I', '-S', ROOT / 'benchmarks/gpu_preflight.py']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith('error: this machine cannot run the steps:\n  packages: torch, triton, mmengine, ')


def test_wheels_are_collected_for_the_python_of_the_gpu_machine(tmp_path, monkeypatch):
    stub, calls = tmp_path / 'python', tmp_path / 'calls'
    stub.write_text(STUB.replace('exit 0', 'touch "$FOLDER"/{onedl_mmcv,fvcore}-1-py3-none-any.whl'))
    stub.chmod(0o755)
    folder = tmp_path / 'wheels'
    folder.mkdir()
    for name, value in {'PYTHON': stub, 'CALLS': calls, 'FOLDER': folder}.items():
        monkeypatch.setenv(name, str(value))
    script = ROOT / 'benchmarks/collect_wheels.sh'
    done = subprocess.run(['bash', script, folder, '3.13'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    download, build = (shlex.split(line) for line in calls.read_text().splitlines())
    assert download[:3] == ['-m', 'pip', 'download']
    assert download[download.index('--python-version') + 1] == '3.13'
    assert build[-2:] == ['onedl-mmcv', 'fvcore']
    assert subprocess.run(['bash', script], capture_output=True).returncode == 2


def test_help_has_examples():
    command = [sys.executable, ROOT / 'benchmarks/gpu_preflight.py', '--help']
    assert 'examples:' in subprocess.run(command, capture_output=True, text=True).stdout
