import json


def test_the_cost_of_measuring_stands_in_the_text(tmp_path, render):
    path = tmp_path / 'benchmarks/records/overhead/tiny.json'
    path.parent.mkdir(parents=True)
    ratios = {
        f'{name}_{end}': value
        for name, values in {'ratio_measured': (1.0325, 1.01, 1.05), 'ratio': (1.0, 0.99, 1.02)}.items()
        for end, value in zip(('median', 'p2_5', 'p97_5'), values, strict=True)
    }
    path.write_text(json.dumps({'device': {'threads': 3}, 'interval': 7} | ratios))
    text = render('docs/instrument.md', tmp_path)
    assert 'on 3 threads: a measured iteration took 3.2 % longer (95 %: 1.0 to 5.0 %)' in text
    assert 'at its interval of 7 iterations took 0.0 % longer (−1.0 to 2.0 %)' in text
