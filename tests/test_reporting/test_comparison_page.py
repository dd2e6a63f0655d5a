from vrtspike.analysis import build_report, compare, read_logs
from vrtspike.reporting.comparison_page import comparison_page
from vrtspike.reporting.report_plots import compared_panels


def test_the_page_says_what_is_seen_and_how_sure_it_is(make_run, made_up):
    halved = {**made_up.STAGES, '<i>stage</i>': (1.0, 0, 0), 'stage8': (50.0, 20.0, 100.0)}
    logs = [read_logs([make_run(name, stages=stages)], name) for name, stages in (('a', made_up.STAGES), ('b', halved))]
    found = compare(*logs)
    panels = compared_panels(found, *map(build_report, logs))
    text = comparison_page(found, panels)
    assert text.count('<figure>') == len(panels) == 5
    for panel in panels:
        assert panel.sentence in text
    for words in ('a against b', 'x0.5', 'Stages of one run only: &lt;i&gt;stage', 'Intervals cover how iterations'):
        assert words in text
    assert '<script' not in text
