"""Train variants of one config alike - same seeds, same data in the same order - and compare quality and cost.

The base config is the baseline. A variant is a name with overrides, or a plugin with the changes in its config.py.
Finished runs are not repeated and an interrupted one is resumed. A failed run is reported, and the other variants are
still trained. A difference in dB is informative only with three or more seeds, and only if the baseline gained 2 dB.

Examples:
  python tools/ablate.py configs/vrt_spike_tiny.py --variants benchmarks/ablations/fusion_heads.yaml --seeds 0 1 2
  python tools/ablate.py configs/vrt_spike_tiny.py --plugin-variants spike_modulation --iterations 200
  python tools/ablate.py configs/vrt_spike_tiny.py --variant no_tsa model.tsa=None --variant stages234 model.fusion_stages=[2,3,4]
  python tools/ablate.py configs/vrt_spike_fast.py --variants benchmarks/ablations/fusion_heads.yaml --stop-without-gain
  python tools/ablate.py configs/vrt_spike_tiny.py --variants heads.yaml --json heads.json --plot heads.png
"""  # noqa: E501

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vrtspike.cli import (
    OverrideAction,
    add_config_arguments,
    end_as_interrupted,
    positive,
    run_tool,
    tool_parser,
    write_result,
)
from vrtspike.errors import ConfigError
from vrtspike.runtime.atomic_write import write_text

if TYPE_CHECKING:
    from vrtspike.candidates import Overrides
    from vrtspike.experiments.runs import Run
    from vrtspike.experiments.variants import Variant


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_config_arguments(parser)
    parser.add_argument('--variants', metavar='FILE', help='a YAML file of names, each with dotted keys and values')
    parser.add_argument(
        '--variant', nargs='+', action=VariantAction, default=[], metavar=('NAME', 'KEY=VALUE'), help='one variant'
    )
    parser.add_argument('--plugin-variants', nargs='+', default=[], metavar='NAME', help='plugins; each is one variant')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], metavar='N', help='seeds (default: 0 1 2)')
    parser.add_argument(
        '--iterations', type=positive(int), help="how long to train (default: the config's train_cfg.max_iters)"
    )
    parser.add_argument('--work-dir', type=Path, help='folder of the runs (default: work_dirs/ablation_<config>)')
    parser.add_argument('--no-cpu-overrides', action='store_true', help='train in full, even without a GPU')
    parser.add_argument(
        '--stop-without-gain',
        action='store_true',
        help="stop if the baseline's first run gains less than 2 dB, as no difference would be informative",
    )
    parser.add_argument(
        '--report-only', action='store_true', help='train nothing; report the finished runs in the folder'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the record as JSON')
    parser.add_argument('--markdown', type=Path, metavar='FILE', help='write the table as Markdown')
    parser.add_argument('--plot', type=Path, metavar='FILE', help='draw quality against time')
    return parser.parse_args()


class VariantAction(OverrideAction):
    """Collects ``NAME KEY=VALUE ...`` as (name, overrides)."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        name, *settings = values
        if '=' in name:
            parser.error(f'{option_string}: expected a name before the settings, found {name!r}')
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, {})
        super().__call__(parser, namespace, settings, option_string)
        setattr(namespace, self.dest, [*before, (name, getattr(namespace, self.dest))])


def main() -> None:
    args = parse_args()
    end_as_interrupted()
    from vrtspike.experiments.presentation import failure_lines, table
    from vrtspike.experiments.quality_plot import plot
    from vrtspike.experiments.record import gains_enough, record_of
    from vrtspike.experiments.runs import Run

    variants, shared = chosen_variants(args), shared_overrides(args)
    folder = args.work_dir or Path('work_dirs', f'ablation_{Path(args.config).stem}')
    # Seed by seed, so that an interrupted ablation has compared all variants with some seeds.
    runs = [Run(variant, seed, folder) for seed in dict.fromkeys(args.seeds) for variant in variants]
    failures = {}
    if not args.report_only:
        failures = train(runs[:1] if args.stop_without_gain else runs, args, shared)
    if args.stop_without_gain and not args.report_only and not failures:
        if gains_enough(runs[0]):
            failures = train(runs, args, shared)
        else:
            print('The baseline gained too little: nothing else is trained. Train longer.')
    record = record_of(variants, runs, failures, args.config, shared)
    print('\n'.join([table(record).text(), *failure_lines(record)]))
    write_result(record, args.json)
    if args.markdown:
        write_text(args.markdown, table(record).markdown() + '\n')
    if args.plot:
        plot(record, args.plot)
    if failures:
        raise ConfigError(f'{len(failures)} of {len(variants)} variants failed: {", ".join(failures)}')


def chosen_variants(args: argparse.Namespace) -> list[Variant]:
    """Return the variants that the command line names, the baseline first."""
    from vrtspike.experiments.variants import Variant, complete, plugin_variant, read_variants

    from_file = read_variants(args.variants) if args.variants else []
    from_options = [Variant(name, overrides) for name, overrides in args.variant]
    return complete([*from_file, *from_options, *map(plugin_variant, args.plugin_variants)])


def shared_overrides(args: argparse.Namespace) -> Overrides:
    """Return what all variants share."""
    length = {'train_cfg.max_iters': args.iterations} if args.iterations else {}
    return {**args.cfg_options, **length}


def train(runs: list[Run], args: argparse.Namespace, shared: Overrides) -> dict[str, str]:
    """Train the runs that are not finished; return the failures by variant."""
    from rich.progress import Progress

    from vrtspike.experiments.runs import resolve, train_all

    def config_of(variant: Variant) -> Any:
        return resolve(variant, args.config, shared, args.plugins, full_length=args.no_cpu_overrides)

    config_of(runs[0].variant)  # fails at once if the baseline has an error: nothing could be compared with it
    with Progress() as progress:
        task = progress.add_task('', total=len(runs))
        failures = train_all(
            runs,
            config_of,
            Path(__file__).with_name('train.py'),
            lambda what, done: progress.update(task, description=what, completed=done, refresh=True),
        )
        progress.update(task, description='done', completed=len(runs))
    return failures


if __name__ == '__main__':
    run_tool(main)
