"""The sections of a report."""

from __future__ import annotations

import msgspec

from vrtspike.tuner.commands import commands
from vrtspike.tuner.pareto import front
from vrtspike.tuner.report.blocks import Block, Code, Items, Paragraph
from vrtspike.tuner.report.checklist import checklist
from vrtspike.tuner.report.points import points_of
from vrtspike.tuner.report.summary import summary
from vrtspike.tuner.report.tables import bottleneck_table, candidate_table, step_table
from vrtspike.tuner.report.view import View
from vrtspike.tuner.trials import Failed, Skipped, Trial


class Section(msgspec.Struct, frozen=True):
    """A section of a report.

    Args:
        key: Which section it is, in every language.
        heading: Its heading.
        blocks: What is below it.
    """

    key: str
    heading: str
    blocks: list[Block]


def sections(view: View) -> list[Section]:
    """Return the sections of a report that have something to say."""
    record = view.record
    steps = [step_table(view), Paragraph(view.text('interaction_note'))] if record.steps else []
    names = ', '.join(front(points_of(record)))
    contents: dict[str, list[Block]] = {
        'summary': [Items(summary(view))],
        'bottlenecks': [bottleneck_table(view)],
        'candidates': [candidate_table(view)] if record.measured else [],
        'together': steps,
        'front': [Paragraph(view.text('front_note', names=names)), Paragraph(view.text('picture'))],
        'saved_nothing': _items(saved_nothing(view)),
        'not_tried': _items(not_tried(view)),
        'output': [Code(record.output.text.rstrip())],
        'checklist': [Items(checklist(view))],
        'reproduce': [Paragraph(view.text('reproduce_note')), Code(commands(record))],
    }
    return [Section(key, view.text(key), blocks) for key, blocks in contents.items() if blocks]


def _items(lines: list[str]) -> list[Block]:
    return [Items(lines)] if lines else []


def saved_nothing(view: View) -> list[str]:
    """Return what was not seen to save time alone and was not taken with others either."""
    taken = view.record.best.parts if view.record.best else []
    found = [trial for trial in view.record.measured if not trial.saves_time and trial.name not in taken]
    return [
        view.text(
            'nothing_row',
            name=trial.name,
            saving=trial.result.saving,
            low=trial.result.interval[0],
            high=trial.result.interval[1],
        )
        for trial in found
    ]


def not_tried(view: View) -> list[str]:
    """Return what has no numbers, and why."""
    lines = [(trial.name, _why_not_tried(view, trial)) for trial in view.record.trials]
    return [view.text('skip_row', name=name, why=why) for name, why in lines if why]


def _why_not_tried(view: View, trial: Trial) -> str:
    match trial.result:
        case Failed(failure=failure):
            return view.text('failed', why=failure)
        case Skipped(skipped=reason):
            return view.text(reason, most=trial.most, of=view.whole)
    return ''
