"Pictures with knobs for a page"
import json
import re

import matplotlib.pyplot as plt
import pytest

from irsde.sliders import sliders


def draw(height, wide=2):
    fig, ax = plt.subplots(figsize=(wide, 1), dpi=20)
    ax.plot([0, height])
    ax.set_ylim(0, 3)
    return fig


def frames(moving):
    return json.loads(re.search(r'json">(.*?)</script>', moving.html)[1])


def test_every_setting_has_its_frame_in_the_order_of_the_knobs():
    def cross(up, down):
        return draw(up - down)

    moving = sliders(cross, alt="a", up=[1, 2], down=[0, 0.5])
    one, two = frames(moving), frames(sliders(draw, alt="a", height=[1, 0.5, 2, 1.5]))
    assert one == two and len(set(one)) == 4
    assert f'src="{one[0]}"' in moving.html


def test_a_knob_may_stand_elsewhere_and_be_called_otherwise():
    moving = sliders(draw, alt="a", start={"height": 1}, names={"height": "h"}, height={"low": 1, "high": 3})
    assert f'src="{frames(moving)[1]}"' in moving.html
    assert 'name="h"' in moving.html and "<output>high</output>" in moving.html


def test_the_same_figure_is_the_same_page():
    first, again = (sliders(draw, alt="a", height=[1, 2]) for _ in range(2))
    assert first.html == again.html == first._repr_html_()
    other = sliders(draw, alt="a", start={"height": 1}, height=[1, 2])
    ids = [re.search('id="([^"]+)"', moving.html)[1] for moving in (first, other)]
    assert len({*ids}) == 2


@pytest.mark.parametrize("knobs, said", [({}, "at least one knob"), ({"height": [1]}, "two settings"),
                                         ({"height": [1, 1]}, "two settings"),
                                         ({"height": [1, 2], "wide": [1, 2]}, "same size"),
                                         ({"height": [1, 2], "start": {"m": 1}}, "start: m is no knob"),
                                         ({"height": [1, 2], "start": {"height": 2}}, "beyond its settings"),
                                         ({"height": [1, 2], "start": {"height": -1}}, "beyond its")])
def test_what_cannot_be_turned_is_refused(knobs, said):
    with pytest.raises(ValueError, match=said):
        sliders(draw, alt="a", **knobs)
