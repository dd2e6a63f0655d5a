"""Report where training time goes, whether a run is sound and what to try; compare and check runs.

A LOG is a file, the folder of a run, or a pattern. All LOGs together are one run. The tool reads our stage_costs.jsonl,
MMEngine's JSON logs, and the timing files, print logs and training logs of the older code. It detects the format
from the content. Further commands, each with its own --help:

  compare RUN RUN               ratios with confidence intervals: which differences are noise
  check RUN --against BASELINE  loss, PSNR/SSIM, memory, throughput, bottleneck: pass or fail
  plot_curve LOG...             curves of one or several runs, as in MMDetection
  cal_train_time LOG...         seconds per iteration, as in MMDetection
  trace RUN --out FILE          the traces of all ranks as one, for Perfetto and chrome://tracing

Examples:
  python tools/analyze_logs.py work_dirs/vrt_spike_tiny
  python tools/analyze_logs.py work_dirs/vrt_spike_tiny --html report.html --plot report.png --json report.json
  python tools/analyze_logs.py 'outputs/logs/*.log' --json -
  python tools/analyze_logs.py compare work_dirs/vrt_spike_baseline work_dirs/vrt_spike_fast
  python tools/analyze_logs.py check work_dirs/vrt_spike_fast --against work_dirs/vrt_spike_baseline
  python tools/analyze_logs.py plot_curve work_dirs/vrt_spike_tiny --keys loss psnr --out curves.png
  python tools/analyze_logs.py trace work_dirs/vrt_spike_tiny --out trace.json.gz
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ''
    if name in COMMANDS:
        COMMANDS[name](sys.argv[2:])
    else:
        report(sys.argv[1:])


def report(arguments: list[str]) -> None:
    """Analyse one run."""
    from vrtspike.cli import add_json_argument, tool_parser, write_result

    parser = tool_parser(__doc__)
    parser.add_argument('logs', nargs='+', metavar='LOG', help='a file, the folder of a run, or a pattern')
    add_json_argument(parser)
    add_picture_arguments(parser)
    args = parser.parse_args(arguments)
    from vrtspike.analysis import build_report, read_logs

    found = build_report(read_logs(args.logs, ' '.join(args.logs)))
    if args.json != '-':
        from vrtspike.reporting.terminal import show_report

        show_report(found)
    write_result(found, args.json)
    if args.html:
        from vrtspike.reporting.pages import save_page
        from vrtspike.reporting.run_page import run_page

        save_page(args.html, run_page(found))
    if args.plot:
        from vrtspike.reporting.report_plots import save_picture

        save_picture(found, args.plot)


def compare(arguments: list[str]) -> None:
    """Compare two runs: ratios of the second to the first with confidence intervals, and which differences are noise.

    Examples:
      python tools/analyze_logs.py compare work_dirs/vrt_spike_baseline work_dirs/vrt_spike_fast --json comparison.json
      python tools/analyze_logs.py compare work_dirs/before work_dirs/after --html comparison.html --plot comparison.png
    """
    from vrtspike.cli import add_json_argument, write_result

    parser = command_parser(compare)
    parser.add_argument('runs', nargs=2, metavar='RUN', help='a file, the folder of a run, or a pattern')
    add_json_argument(parser)
    add_picture_arguments(parser)
    args = parser.parse_args(arguments)
    from vrtspike.analysis import build_report, read_logs
    from vrtspike.analysis import compare as compared

    logs = [read_logs([run]) for run in args.runs]
    found = compared(*logs)
    if args.json != '-':
        from vrtspike.reporting.terminal import show_comparison

        show_comparison(found)
    write_result(found, args.json)
    if args.html or args.plot:
        from vrtspike.reporting.report_plots import compared_panels, save_comparison

        panels = compared_panels(found, *map(build_report, logs))
        if args.html:
            from vrtspike.reporting.comparison_page import comparison_page
            from vrtspike.reporting.pages import save_page

            save_page(args.html, comparison_page(found, panels))
        if args.plot:
            save_comparison(panels, args.plot)


def check(arguments: list[str]) -> None:
    """Check an optimised run against its baseline; exit with 1 unless every check passes.

    A check for which the logs have no data does not pass.

    Examples:
      python tools/analyze_logs.py check work_dirs/vrt_spike_fast --against work_dirs/vrt_spike_baseline
      python tools/analyze_logs.py check work_dirs/fast --against work_dirs/baseline --only throughput bottleneck
    """
    from vrtspike.analysis.checklist import CHECKS, PSNR_DROP_DB, SSIM_DROP
    from vrtspike.cli import add_json_argument, write_result

    parser = command_parser(check)
    parser.add_argument('run', metavar='RUN', help='a file, the folder of a run, or a pattern')
    parser.add_argument('--against', required=True, metavar='BASELINE', help='log of the baseline')
    parser.add_argument(
        '--only', nargs='+', choices=list(CHECKS), metavar='CHECK', help=f'checks to run, of {", ".join(CHECKS)}'
    )
    parser.add_argument('--psnr-drop', type=float, default=PSNR_DROP_DB, help='tolerated loss in dB (%(default)s)')
    parser.add_argument('--ssim-drop', type=float, default=SSIM_DROP, help='tolerated loss of SSIM (%(default)s)')
    add_json_argument(parser)
    args = parser.parse_args(arguments)
    from vrtspike.analysis import read_logs, run_checks

    run, baseline = read_logs([args.run]), read_logs([args.against])
    checks = run_checks(run, baseline, args.only, args.psnr_drop, args.ssim_drop)
    if args.json != '-':
        from vrtspike.reporting.terminal import show_checks

        show_checks(checks)
    write_result(checks, args.json)
    sys.stdout.flush()
    if not all(each.passed for each in checks):
        sys.exit(1)


def plot_curve(arguments: list[str]) -> None:
    """Plot curves of one or several runs over the iterations.

    Examples:
      python tools/analyze_logs.py plot_curve work_dirs/vrt_spike_tiny --keys loss --out loss.png
      python tools/analyze_logs.py plot_curve work_dirs/a work_dirs/b --keys psnr --legend before after --out psnr.png
    """
    parser = command_parser(plot_curve)
    parser.add_argument('json_logs', nargs='+', metavar='LOG', help='one for every run')
    parser.add_argument(
        '--keys', nargs='+', default=['loss'], help='scalars, iteration_ms, memory_mib or <stage>_ms (default: loss)'
    )
    parser.add_argument('--start-epoch', type=int, help='number validations from this on, not by iteration')
    parser.add_argument('--eval-interval', type=int, help='step between these numbers (default: 1)')
    parser.add_argument('--title', help='title of the plot')
    parser.add_argument('--legend', nargs='+', help='a label for every curve: all keys of the first log, then the next')
    parser.add_argument('--backend', help="Matplotlib's backend for showing the plot")
    parser.add_argument('--style', help='a Matplotlib style, such as ggplot')
    parser.add_argument('--out', metavar='FILE', help='write the plot to FILE instead of showing it')
    args = parser.parse_args(arguments)
    if args.legend and len(args.legend) != len(args.json_logs) * len(args.keys):
        parser.error(f'--legend: expected {len(args.json_logs) * len(args.keys)} labels, found {len(args.legend)}')
    from vrtspike.analysis.readers import read_logs
    from vrtspike.reporting.curve_plots import show_or_save_curves

    labels = iter(args.legend or [f'{log} {key}' for log in args.json_logs for key in args.keys])
    logs = [read_logs([log]) for log in args.json_logs]
    curves = [(next(labels), curve_of(log, key, args)) for log in logs for key in args.keys]
    show_or_save_curves(curves, args.out, args.title, args.style, args.backend)


def curve_of(log: Any, key: str, args: argparse.Namespace) -> Any:
    """Return a curve. That of a validation score is over numbered validations if the user asked for it."""
    from vrtspike.analysis.statistics.curves import QUALITY, curve

    steps, values = curve(log, key)
    if key in QUALITY and (args.start_epoch is not None or args.eval_interval is not None):
        steps = [(args.start_epoch or 1) + i * (args.eval_interval or 1) for i in range(len(values))]
    return steps, values


def cal_train_time(arguments: list[str]) -> None:
    """Print seconds per iteration: of the slowest and the fastest segment, the deviation over segments, and the mean.

    A segment is an epoch, or the iterations between two validations.

    Examples:
      python tools/analyze_logs.py cal_train_time work_dirs/vrt_spike_tiny
    """
    parser = command_parser(cal_train_time)
    parser.add_argument('json_logs', nargs='+', metavar='LOG', help='one for every run')
    parser.add_argument(
        '--include-outliers', action='store_true', help='keep the first iteration of every segment, which is warm-up'
    )
    args = parser.parse_args(arguments)
    from vrtspike.analysis.readers import read_logs
    from vrtspike.analysis.statistics.train_time import train_time_text

    for log in args.json_logs:
        print(train_time_text(read_logs([log]), args.include_outliers))


def trace(arguments: list[str]) -> None:
    """Write the traces of all ranks of a run as one file. Open it in https://ui.perfetto.dev or chrome://tracing.

    A training writes traces with --cfg-options default_hooks.stage_cost.trace=3, here of three sampled iterations.

    Examples:
      python tools/analyze_logs.py trace work_dirs/vrt_spike_tiny --out trace.json.gz
    """
    parser = command_parser(trace)
    parser.add_argument('run', metavar='RUN', help='the folder of a run')
    parser.add_argument('--out', required=True, metavar='FILE', help='.json, or .json.gz to compress it')
    args = parser.parse_args(arguments)
    from pathlib import Path

    from vrtspike.records.trace import merged_trace, traces_of, write_trace

    paths, out = traces_of(Path(args.run)), Path(args.out)
    if out.resolve() in (path.resolve() for path in paths):
        parser.error(f'--out: {out} is one of the traces to merge')
    merged = merged_trace(paths)
    write_trace(out, merged)
    ranks = len({event.pid for event in merged.traceEvents})
    print(f'{out}: {ranks} rank{"s" * (ranks > 1)}, {len(merged.traceEvents)} events')


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    'compare': compare,
    'check': check,
    'plot_curve': plot_curve,
    'cal_train_time': cal_train_time,
    'trace': trace,
}


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the files that a report or a comparison can be written to."""
    parser.add_argument('--html', metavar='FILE', help='write a page that needs no other file')
    parser.add_argument('--plot', metavar='FILE', help='write a picture (.png, .svg or .pdf)')


def command_parser(command: Callable[[list[str]], None]) -> argparse.ArgumentParser:
    """Return the parser of a command, whose docstring is its help."""
    import inspect

    from vrtspike.cli import tool_parser

    parser = tool_parser(inspect.getdoc(command))
    parser.prog = f'{parser.prog} {command.__name__}'
    return parser


if __name__ == '__main__':
    # Imported here, because worker processes for large logs import this file too and need no command line.
    from vrtspike.cli import run_tool

    run_tool(main)
