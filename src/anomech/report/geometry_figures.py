"""The plots of the geometry of gradients, as Plotly takes them."""

from __future__ import annotations

from anomech.explain.geometry import BINS, Geometry
from anomech.explain.weight_directions import WeightDirections
from anomech.report.figures import NAMED_LAYERS, Figure, axis, figure, line

CLEAN, ANOMALOUS, TRUSTED, ALIKE = "--input", "--anomalous", "--trusted", "--text"


def spectrum(found: Geometry) -> Figure:
    """The largest eigenvalues of the trusted loss' Hessian."""
    values = [value if value > 0 else None for value in found.eigenvalues]
    points = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "Eigenvalue",
        "x": list(range(1, len(values) + 1)),
        "y": values,
        "line": {"color": CLEAN, "width": 1},
        "marker": {"size": 6, "color": CLEAN},
        "hovertemplate": "%{x}: %{y:.4g}<extra></extra>",
    }
    return figure([points], x=axis("Sharpest directions"), y=axis("Eigenvalue", type="log", dtick=1))


def energy_plot(found: Geometry) -> Figure:
    """Share of gradients' energy in the sharpest directions, as more of them are taken, with its interval."""
    numbers: list[float] = list(range(1, len(found.eigenvalues) + 1))
    data: list[Figure] = []
    for group in found.groups:
        colour, name = _colour(found, group.name), _title(group.name)
        ends = [*group.sharp.high, *reversed(group.sharp.low)]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [*numbers, *reversed(numbers)],
                "y": ends,
                "line": {"color": colour, "width": 0},
                "fill": "toself",
                "fillcolor": f"{colour}-fill" if colour != ALIKE else "--trusted-fill",
                "hoverinfo": "skip",
            }
        )
        curve = line(name, colour, numbers, list(group.sharp.mean), hover=f"{name}, %{{x}} sharpest: %{{y:.1%}}")
        curve["line"] = {"color": colour, "width": 2}
        data.append(curve)
    last = found.group(found.anomalous or found.clean)
    matched = f"Random, as long in each tensor as {last.name}"
    data.append(line(matched, ANOMALOUS, numbers, list(last.matched), hover=f"{matched}: %{{y:.1%}}"))
    data.append(line("A random direction", "--muted", numbers, list(found.random), hover="Random: %{y:.3%}"))
    return figure(
        data,
        x=axis("Sharpest directions of the trusted loss"),
        y=axis("Share of the energy", range=[0, 1], tickformat=".0%"),
    )


def alignment_plot(found: Geometry) -> Figure:
    """Cosines of gradients with those of trusted examples, pair by pair."""
    edges = [-1 + 2 * i / BINS for i in range(BINS + 1)]
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"{_title(group.name)} with trusted",
            "x": edges,
            "y": [*group.cosines, 0],
            "line": {"color": _colour(found, group.name), "width": 1.5, "shape": "hv"},
            "hovertemplate": f"{_title(group.name)}, from %{{x:.3g}}: %{{y:.1%}}<extra></extra>",
        }
        for group in found.groups
    ]
    return figure(data, x=axis("Cosine", range=[-1, 1]), y=axis("Share of pairs", rangemode="tozero", tickformat=".0%"))


def carrier_plot(found: WeightDirections) -> Figure:
    """Share of the energy of each layer's gradients that its few directions hold."""
    groups = (
        ("The anomalies' gradients in their directions", ANOMALOUS, [layer.share for layer in found.layers]),
        ("Random groups of clean inputs in theirs", CLEAN, [layer.control for layer in found.layers]),
    )
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": list(range(len(found.layers))),
            "y": values,
            "text": [layer.name for layer in found.layers],
            "line": {"color": colour},
            "marker": {"size": 7, "color": colour},
            "cliponaxis": False,
            "hovertemplate": "%{text}: %{y:.1%}<extra></extra>",
        }
        for name, colour, values in groups
    ]
    names = [layer.name for layer in found.layers]
    return figure(
        data,
        x=axis("Weights", tickvals=list(range(len(names))), ticktext=names)
        if len(names) <= NAMED_LAYERS
        else axis("Weights, in the order of the model", showticklabels=False),
        y=axis("Share of the energy", rangemode="tozero", tickformat="~%"),
    )


def _colour(found: Geometry, name: str) -> str:
    return {found.clean: CLEAN, found.anomalous: ANOMALOUS, "trusted": TRUSTED}.get(name, ALIKE)


def _title(name: str) -> str:
    return name[:1].upper() + name[1:]
