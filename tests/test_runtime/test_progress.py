import io

from rich.console import Console
from rich.progress import TextColumn

from vrtspike.runtime.progress import show_task, step_progress


def test_it_shows_the_steps_and_further_columns():
    console = Console(file=io.StringIO(), width=100)
    with step_progress(TextColumn('{task.completed} done'), console=console) as bar:
        bar.update(bar.add_task('Testing', total=3), completed=2)
    shown = console.file.getvalue()
    assert 'Testing' in shown
    assert '2/3' in shown
    assert '2 done' in shown


def test_a_task_shows_its_steps_as_they_are_done():
    console = Console(file=io.StringIO(), width=100)
    with step_progress(console=console) as bar:
        show_task(bar, 'Simulating')(2, 5)
    shown = console.file.getvalue()
    assert 'Simulating' in shown
    assert '2/5' in shown


def test_it_can_be_switched_off():
    console = Console(file=io.StringIO())
    with step_progress(disable=True, console=console) as bar:
        assert list(bar.track([1, 2])) == [1, 2]
    assert console.file.getvalue() == ''
