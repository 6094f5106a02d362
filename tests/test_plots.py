"Figures and tables: what they show, not how they look."

import matplotlib

matplotlib.use("agg")
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from irsde.plots import (
    fastest,
    fit_order,
    plot_band,
    plot_curves,
    plot_density,
    plot_order,
    show_images,
    styled,
)  # noqa: E402


def test_band_is_1_96_standard_deviations():
    ax = plot_band([0, 1], torch.zeros(2), [1.0, 2.0])
    assert np.allclose(ax.collections[0].get_paths()[0].get_extents().get_points()[:, 1], [-3.92, 3.92])


def test_order_is_the_slope():
    assert fit_order([10, 20, 40], [1, 1 / 4, 1 / 16]) == pytest.approx(2)
    assert len(plot_order([10, 20], [1, 0.5], order=1).lines) == 2


def test_density_is_normalised():
    ax = plot_density(torch.randn(1000), lambda x: x * 0)
    assert sum(p.get_height() * p.get_width() for p in ax.patches) == pytest.approx(1)


def test_images_and_titles():
    fig = show_images([torch.rand(3, 4, 4), torch.rand(4, 4)], ["a", "b"], columns=1)
    assert [ax.get_title() for ax in fig.axes] == ["a", "b"]
    fig = show_images([torch.rand(4, 4)] * 3, ["a", None, 2])
    assert [ax.get_title() for ax in fig.axes] == ["a", "", "2"]


def test_titles_are_as_large_as_they_fit():
    def drawn(title):
        fig = show_images([torch.rand(4, 4)] * 2, [title, "a"], size=2)
        return fig.axes[0].title.get_fontsize(), fig.get_figheight()

    (short, one), (medium, _), (long, _), (_, two) = map(drawn, ("b", 24 * "b", 60 * "b", "b\nb"))
    assert short == 12 and 9 < medium < 12 and long == 9
    assert two > one > show_images([torch.rand(4, 4)] * 2, size=2).get_figheight()


def test_tables_put_numbers_right():
    html = styled(pd.DataFrame({"word": ["a"], "number": [1.5]})).to_html()
    assert (
        "col1" in html
        and "text-align: right" in html
        and html == styled(pd.DataFrame({"word": ["a"], "number": [1.5]})).to_html()
    )


def test_fastest_turn():
    now = iter([0, 9, 9, 9, 10, 13, 20, 22, 30, 31, 40, 44])
    assert fastest({"a": lambda: None}, repeats=3, clock=lambda: next(now)) == {"a": 0}


def test_curves_of_runs_one_after_another(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("step,loss\n1,1.0\n2,0.5\n")
    axes = plot_curves([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert axes[0].lines[0].get_xdata().tolist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="no column 'psnr'"):
        plot_curves(tmp_path / "a.csv", ("psnr",))
