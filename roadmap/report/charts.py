"""The charts of the report: Vega-Lite specifications, written with Altair, in the colours of the page's style sheet.

Every chart has a parameter `step`, the highlighted step; the page sets it in all charts together.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import altair as alt

from roadmap.numbers import COUNTS, SECONDS, column
from roadmap.results.notes import LEAST_STEPS

Data = dict[str, Any]
Chart = alt.LayerChart
INK, FAINT, GRID, HIGHLIGHT, PAGE = (f"var(--{name})" for name in ("ink", "faint", "grid", "highlight", "page"))
HIGHLIGHTED = "datum.step === step"
CLEAR = f"step === '' || {HIGHLIGHTED}"
COLOUR: Any = alt.Color("fill:N", scale=None)
OPACITY: Any = alt.when(CLEAR).then(alt.value(1)).otherwise(alt.value(0.25))
TOOLTIP = [
    alt.Tooltip(f"{field}:N", title=head)
    for field, head in {"title": "title", "text_top1": "top-1", "text_change": "change", "text_cost": "cost",
                        "text_changes": "changes"}.items()
]  # fmt: skip
ROW = 24  # pixels
ZERO = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule(color=INK, strokeWidth=1, aria=False)
WHOLE: Any = {"x": alt.value(0), "x2": alt.value("width")}
COSTS: dict[str, tuple[str, dict[str, float] | None, bool]] = {
    "gflops": ("Multiply-adds, {}FLOPs", {unit: size / 1e9 for unit, size in COUNTS.items()}, False),
    "images_per_second": ("Training speed, images per second", None, True),
    "seconds": ("Training time per run, {}", SECONDS, False),
}
"""That accuracy is plotted against: title, with {} for the unit, the units, and whether more is better."""
CURVES = {"top1": "top-1, %", "loss": "training loss"}


def charts(report: Data) -> dict[str, Data]:
    """Vega-Lite specifications by name: all charts that the data of the report suffice for."""
    steps = [_record(step) for step in report["steps"]]
    run = [step for step in steps if step["top1"] is not None]
    drawn = {"levels": levels(steps, report["data"])} | ({} if report["plumbing"] else {"changes": changes(steps)})
    drawn |= {key: cost(run, key) for key in costs(report)}
    if report["curves"]:
        drawn |= {f"curve_{key}": curve(report, key) for key in CURVES}
    both = [step for step in run if step["learned"] and None not in (step["change"], step["paper_change"])]
    if len(both) >= LEAST_STEPS:
        drawn["agreement"] = agreement(both)
    return {name: chart.to_dict() for name, chart in drawn.items()}


def costs(report: Data) -> list[str]:
    """The costs in which the steps that were run differ, if their accuracies mean something."""
    run = [step for step in report["steps"] if step["top1"] is not None]
    return [key for key in COSTS if not report["plumbing"] and len({step[key] for step in run}) > 1]


def cost_axis(run: Sequence[Data], key: str) -> tuple[str, float]:
    """The title of a cost's axis and the size of its unit."""
    title, units, _ = COSTS[key]
    unit, _ = column([step[key] for step in run], units)
    return title.format(unit), (units or {"": 1.0})[unit]


def front(steps: Sequence[Data], key: str) -> list[Data]:
    """The Pareto front in order of cost: steps that no other step matches in accuracy at the same or lower cost."""
    sign = -1 if COSTS[key][-1] else 1
    found: list[Data] = []
    for step in sorted(steps, key=lambda step: (sign * step[key], -step["top1"])):
        if not found or step["top1"] > found[-1]["top1"]:
            found.append(step)
    return found


def levels(steps: Sequence[Data], data: str) -> Chart:
    """Mean top-1 of every step with its deviation and its seeds, and the main sequence as a line."""
    base = _rows(steps)
    run = base.transform_filter("isValid(datum.top1)")
    x: Any = alt.X("top1:Q", title=f"top-1 on {data}, %", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    seeds = [{"step": s["step"], "title": s["title"], "top1": seed} for s in steps for seed in s["seeds"]]
    line = _rows([step for step in steps if step["main_sequence"]]).mark_line(
        color=FAINT, strokeWidth=1.2, aria=False, invalid="break-paths-show-domains"
    )
    ticks = _rows(seeds).mark_tick(thickness=1.5, size=9, color=FAINT, aria=False)
    blank = base.transform_filter("!isValid(datum.top1)").mark_text(align="left", color=FAINT, aria=False)
    return _layered(
        _band(base),
        blank.encode(x=alt.value(6), text=alt.value("not run")),
        line.encode(x=x, order="order:Q"),
        ticks.encode(x=x, opacity=OPACITY),
        _interval(run, "low", "high"),
        _points(run, "main_sequence", read=False).encode(x=x),
        _touch(base),
        height=ROW * len(steps),
    )


def changes(steps: Sequence[Data]) -> Chart:
    """The change of every step relative to its parent with its interval, and the paper's change."""
    base = _rows(steps)
    known = base.transform_filter("isValid(datum.change)")
    x: Any = alt.X("change:Q", title="change, points", axis=alt.Axis(tickCount=6))
    paper = base.transform_filter("isValid(datum.paper_change)").mark_point(
        shape="diamond", size=42, color=INK, strokeWidth=1.2, aria=False
    )
    return _layered(
        _band(base),
        ZERO.encode(x=alt.X("zero:Q")),
        _interval(known, "change_low", "change_high"),
        _points(known, "significant", read=False).encode(x=x),
        _touch(base),
        paper.encode(x=alt.X("paper_change:Q"), opacity=OPACITY),
        height=ROW * len(steps),
    )


def cost(run: Sequence[Data], key: str) -> Chart:
    """Accuracy against a cost, with the Pareto front."""
    title, factor = cost_axis(run, key)
    more = COSTS[key][-1]
    run = [step | {key: step[key] / factor} for step in run]
    scale = alt.Scale(zero=False, padding=14)
    x: Any = alt.X(f"{key}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=4))
    y: Any = alt.Y("top1:Q", title="top-1, %", scale=scale)
    shape: Any = "step-before" if more else "step-after"
    line = _source(front(run, key)).mark_line(
        interpolate=shape, color=FAINT, strokeDash=[5, 3], strokeWidth=1.3, aria=False
    )
    return _layered(line.encode(x=x, y=y), *_scatter(_source(run), x, y, ends=("low", "high"), filled="main_sequence"))


def agreement(steps: Sequence[Data]) -> Chart:
    """Changes here against the paper's: in the lower left and upper right quadrant both have the same sign."""
    base = _source(steps)
    x: Any = alt.X("paper_change:Q", title="change in the paper, points", scale=alt.Scale(padding=12))
    y: Any = alt.Y("change:Q", title="change here, points")
    zeros = ZERO.encode(y=alt.Y("zero:Q")), ZERO.encode(x=alt.X("zero:Q"))
    return _layered(*zeros, *_scatter(base, x, y, ends=("change_low", "change_high"), filled="significant"))


def curve(report: Data, key: str) -> Chart:
    """A metric by epoch: the mean over the seeds of every step, and each seed of the highlighted step."""
    known = {step["step"]: _record(step) for step in report["steps"]}
    points = [point | {k: known[point["step"]][k] for k in ("title", "fill", "text")} for point in report["curves"]]
    base = _source(points)
    last = max(point["epoch"] for point in points)
    ticks = alt.Axis(values=list(range(1, last + 1, -(-last // 10))), grid=False, format="d")
    x: Any = alt.X("epoch:Q", title="epoch", axis=ticks, scale=alt.Scale(nice=False, padding=8))
    y: Any = alt.Y(f"mean({key}):Q", title=CURVES[key], scale=alt.Scale(zero=False))
    mean = base.encode(x=x, y=y, detail="step:N", color=COLOUR)
    dim = alt.when(CLEAR).then(alt.value(0.9)).otherwise(alt.value(0.13))
    thick = alt.when(HIGHLIGHTED).then(alt.value(3.5)).otherwise(alt.value(1.6))
    seen = alt.when(HIGHLIGHTED).then(alt.value(0.8)).otherwise(alt.value(0))
    seeds = base.mark_line(strokeWidth=1, strokeDash=[3, 2], aria=False)
    ends = {point["step"]: point["epoch"] for point in points}
    end = _source([point for point in points if point["epoch"] == ends[point["step"]]])
    sequence = [step["step"] for step in report["steps"] if step["main_sequence"] and step["step"] in ends]
    named = [
        label.encode(x=x, y=y, detail="step:N")
        for name in dict.fromkeys([*sequence[:1], *sequence[-1:]])
        for label in _label(points, name, key, ends)
    ]
    touch = mean.mark_line(strokeWidth=14, opacity=0.001)  # wide enough to point at, and read out
    return _layered(
        mean.mark_line(aria=False, point=last == 1).encode(opacity=dim, strokeWidth=thick),
        seeds.encode(x=x, y=alt.Y(f"{key}:Q"), detail=["step:N", "seed:N"], color=COLOUR, opacity=seen),
        touch.encode(description="text:N"),
        *named,
        _title(end, align="right").encode(x=x, y=y, detail="step:N"),
    )


def _label(points: Sequence[Data], name: str, key: str, ends: Mapping[str, int]) -> list[alt.Chart]:
    """The title of a step at the end of its curve, on the side where fewer other curves end, over a halo."""
    values: dict[str, list[float]] = {}
    for point in points:
        if point["epoch"] == ends[point["step"]]:
            values.setdefault(point["step"], []).append(point[key])
    means = {step: fmean(each) for step, each in values.items()}
    near = 0.2 * (max(means.values()) - min(means.values()))
    above, below = (sum(0 < sign * (each - means[name]) < near for each in means.values()) for sign in (1, -1))
    base = _source([point for point in points if point["step"] == name and point["epoch"] == ends[name]])
    looks: Any = {"align": "right", "dx": -4, "dy": -10 if above <= below else 15, "fontWeight": "bold", "aria": False}
    shown: Any = alt.when("step === ''").then(alt.value(1)).otherwise(alt.value(0))
    halo = base.mark_text(**looks, color=PAGE, stroke=PAGE, strokeWidth=4).encode(opacity=shown, text="title:N")
    return [halo, base.mark_text(**looks).encode(opacity=shown, text="title:N", color=COLOUR)]


def _record(step: Data) -> Data:
    """A step's values for the charts."""
    texts, spread, top1 = step["texts"], step["top1_std"] or 0.0, step["top1"]
    return {key: value for key, value in step.items() if not isinstance(value, list | dict | tuple)} | {
        "fill": f"var(--{step['colour']})",
        "seeds": list(step["seeds"].values()),
        "low": None if top1 is None else top1 - spread,
        "high": None if top1 is None else top1 + spread,
        **{f"text_{key}": texts[key] for key in ("top1", "change", "cost", "changes")},
        "text": f"{step['title']}: top-1 {texts['top1']}; change {texts['change']}; {texts['cost']}",
    }


def _source(records: Sequence[Data]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=[dict(record, order=index) for index, record in enumerate(records)]))


def _rows(records: Sequence[Data]) -> alt.Chart:
    """One row per step, in their order."""
    axis = alt.Axis(title=None, domain=False, ticks=False, labelPadding=8, labelLimit=170, grid=False)
    return _source(records).encode(y=alt.Y("title:N", sort=None, axis=axis))


def _band(base: alt.Chart) -> alt.Chart:
    """The background of the highlighted step's row."""
    fill = alt.when(HIGHLIGHTED).then(alt.value(HIGHLIGHT)).otherwise(alt.value("transparent"))
    return base.mark_bar(height=alt.RelativeBandSize(1), aria=False).encode(**WHOLE, color=fill)


def _touch(base: alt.Chart) -> alt.Chart:
    """A transparent row over everything: the target of pointer and screen reader."""
    band = base.mark_bar(height=alt.RelativeBandSize(1), color="transparent", cursor="pointer")
    return band.encode(**WHOLE, tooltip=TOOLTIP, description="text:N")


def _interval(base: alt.Chart, low: str, high: str) -> alt.Chart:
    return base.mark_rule(strokeWidth=2.2, aria=False).encode(
        x=alt.X(f"{low}:Q"), x2=f"{high}:Q", color=COLOUR, opacity=OPACITY
    )


def _points(base: alt.Chart, filled: str, *, read: bool = True) -> alt.Chart:
    """Discs in the colour of the group, hollow unless `filled` is true; `read`: for screen readers too."""
    fill = alt.when(f"datum.{filled} === true").then(alt.Fill("fill:N", scale=None)).otherwise(alt.value(PAGE))
    stroke = alt.Stroke("fill:N", scale=None)
    mark = base.mark_point(size=90, strokeWidth=2, opacity=1, aria=read, cursor="pointer")
    return mark.encode(fill=fill, stroke=stroke, opacity=OPACITY, tooltip=TOOLTIP, description="text:N")


def _scatter(base: alt.Chart, x: Any, y: Any, *, ends: tuple[str, str], filled: str) -> list[alt.Chart]:
    """Vertical intervals between two fields, discs, and the title of the highlighted step."""
    bars = base.mark_rule(strokeWidth=1.4, aria=False).encode(
        x=x, y=alt.Y(f"{ends[0]}:Q"), y2=f"{ends[1]}:Q", color=COLOUR, opacity=OPACITY
    )
    return [bars, _points(base, filled).encode(x=x, y=y), _title(base).encode(x=x, y=y)]


def _title(base: alt.Chart, align: Any = "center") -> alt.Chart:
    """The title of the highlighted step."""
    text: Any = alt.when(HIGHLIGHTED).then("title:N").otherwise(alt.value(""))
    mark = base.mark_text(align=align, dy=-13, fontWeight="bold", fontSize=12, color=INK, aria=False)
    return mark.encode(text=text)


def _layered(*layers: Any, height: int = 300) -> Chart:
    """Layers as one chart, as wide as its container, transparent, in the page's ink."""
    return (
        alt.LayerChart(layer=list(layers))
        .add_params(alt.param(name="step", value=""))
        .properties(width="container", height=height, background="transparent")
        .configure(font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=FAINT, gridColor=GRID, domainColor=FAINT, tickColor=FAINT,
            labelFontSize=12, titleFontSize=12, titleFontWeight="normal", labelOverlap=True, labelSeparation=5,
        )
    )  # fmt: skip
