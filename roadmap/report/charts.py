"""The charts of the report: Vega-Lite, written with Altair, in the colours of the page they stand on.

Every chart has a parameter `rung`, the one that is lifted; the page sets it in all of them together.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt

Data = dict[str, Any]
Chart = alt.LayerChart
INK, FAINT, GRID, LIFT, PAGE = (f"var(--{name})" for name in ("ink", "faint", "grid", "lift", "page"))
LIFTED = "datum.step === rung"
CLEAR = f"rung === '' || {LIFTED}"
ROW = 24  # pixels
WHOLE: Any = {"x": alt.value(0), "x2": alt.value("width")}
COSTS = {
    "gflops": ("Multiply-adds, GFLOPs", False),
    "images_per_second": ("Images a second, in training", True),
    "seconds": ("Training time of a run, minutes", False),
}
"""What accuracy is held against: its heading, and whether more of it is better."""


def charts(report: Data) -> dict[str, Data]:
    """Name to Vega-Lite specification, for every chart that the data of a report are enough for."""
    rungs = [_record(rung) for rung in report["rungs"]]
    run = [rung for rung in rungs if rung["top1"] is not None]
    drawn = {"levels": levels(rungs, report), "changes": changes(rungs)}
    for key in costs(report):
        drawn[key] = cost(run, key)
    if report["curves"]:
        for key, title in (("top1", "top-1, %"), ("loss", "training loss")):
            drawn[f"curve_{key}"] = curve(report, key, title)
    if any(rung["change"] is not None and rung["paper_change"] is not None for rung in rungs):
        drawn["agreement"] = agreement(rungs)
    return {name: chart.to_dict() for name, chart in drawn.items()}


def costs(report: Data) -> list[str]:
    """What the rungs that were run differ in; on the recipe ladder the network and its cost stay."""
    run = [rung for rung in report["rungs"] if rung["top1"] is not None]
    return [key for key in COSTS if len({rung[key] for rung in run}) > 1]


def front(rungs: Sequence[Data], key: str) -> list[Data]:
    """The Pareto front, by what it costs: rungs that no other one matches in accuracy for the same cost or less."""
    more = -1 if COSTS[key][1] else 1
    found: list[Data] = []
    for rung in sorted(rungs, key=lambda rung: (more * rung[key], -rung["top1"])):
        if not found or rung["top1"] > found[-1]["top1"]:
            found.append(rung)
    return found


def levels(rungs: Sequence[Data], report: Data) -> Chart:
    """Mean top-1 of every rung with its deviation and its seeds, and the path."""
    base = _rows(rungs)
    run = base.transform_filter("isValid(datum.top1)")
    scale = alt.Scale(zero=False, nice=True)
    x: Any = alt.X("top1:Q", title=f"top-1 on {report['data']}, %", scale=scale, axis=alt.Axis(tickCount=6))
    seeds = [{"step": r["step"], "title": r["title"], "top1": seed} for r in rungs for seed in r["seeds"]]
    path = [rung for rung in rungs if rung["main_sequence"]]
    line = _rows(path).mark_line(color=FAINT, strokeWidth=1.2, aria=False, invalid="break-paths-show-domains")
    whiskers = run.mark_rule(strokeWidth=2, aria=False).encode(
        x=alt.X("low:Q"), x2="high:Q", color=_colour(), opacity=_clear()
    )
    ticks = _rows(seeds).mark_tick(thickness=1.5, size=9, color=FAINT, aria=False).encode(x=x, opacity=_clear())
    blank = base.transform_filter("!isValid(datum.top1)").mark_text(align="left", color=FAINT, aria=False)
    return _together(
        _band(base),
        blank.encode(x=alt.value(6), text=alt.value("not run")),
        line.encode(x=x, order="order:Q"),
        ticks,
        whiskers,
        _points(run, "main_sequence", size=90, read=False).encode(x=x),
        _touch(base),
        height=ROW * len(rungs),
    )


def changes(rungs: Sequence[Data]) -> Chart:
    """The change to the parent with its interval; beside it the paper's change."""
    base = _rows(rungs)
    known = base.transform_filter("isValid(datum.change)")
    x: Any = alt.X("change:Q", title="change to the parent, points", axis=alt.Axis(tickCount=6))
    zero = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule(color=INK, strokeWidth=1, aria=False)
    paper = base.transform_filter("isValid(datum.paper_change)").mark_point(
        shape="diamond", size=42, color=INK, strokeWidth=1.2, aria=False
    )
    interval = known.mark_rule(strokeWidth=2.5, aria=False).encode(
        x=alt.X("change_low:Q"), x2="change_high:Q", color=_colour(), opacity=_clear()
    )
    return _together(
        _band(base),
        zero.encode(x=alt.X("zero:Q")),
        interval,
        _points(known, "significant", size=90, read=False).encode(x=x),
        _touch(base),
        paper.encode(x=alt.X("paper_change:Q"), opacity=_clear()),
        height=ROW * len(rungs),
    )


def cost(run: Sequence[Data], key: str) -> Chart:
    """Accuracy against a cost, with the Pareto front."""
    title, more = COSTS[key]
    scale = alt.Scale(zero=False, nice=True, padding=14)
    x: Any = alt.X(f"{key}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=4))
    y: Any = alt.Y("top1:Q", title="top-1, %", scale=scale)
    base = _source(run)
    best = _source(front(run, key))
    line = best.mark_line(
        interpolate="step-before" if more else "step-after", color=FAINT, strokeDash=[5, 3], strokeWidth=1.3, aria=False
    )
    bars = base.mark_rule(strokeWidth=1.4, aria=False).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=_colour())
    points = _points(base, "main_sequence", size=95).encode(x=x, y=y, description="said:N", tooltip=_tooltip())
    return _together(line.encode(x=x, y=y), bars.encode(opacity=_clear()), points, _label(base).encode(x=x, y=y))


def curve(report: Data, key: str, title: str) -> Chart:
    """What every rung did from epoch to epoch: the mean over its seeds; of the one that is lifted every seed."""
    known = {rung["step"]: _record(rung) for rung in report["rungs"]}
    points = [
        point | {key: known[point["step"]][key] for key in ("title", "fill", "said")} for point in report["curves"]
    ]
    base = _source(points)
    last = max(point["epoch"] for point in points)
    ticks = alt.Axis(values=list(range(1, last + 1, -(-last // 10))), grid=False, format="d")
    x: Any = alt.X("epoch:Q", title="epoch", axis=ticks, scale=alt.Scale(nice=False, padding=8))
    y: Any = alt.Y(f"mean({key}):Q", title=title, scale=alt.Scale(zero=False))
    mean = base.encode(x=x, y=y, detail="step:N", color=_colour())
    dim = alt.when(CLEAR).then(alt.value(0.9)).otherwise(alt.value(0.13))
    thick = alt.when(LIFTED).then(alt.value(3.5)).otherwise(alt.value(1.6))
    seen = alt.when(LIFTED).then(alt.value(0.8)).otherwise(alt.value(0))
    seeds = base.mark_line(strokeWidth=1, strokeDash=[3, 2], aria=False)
    ends = {point["step"]: point["epoch"] for point in points}
    name = _source([point for point in points if point["epoch"] == ends[point["step"]]])
    touch = mean.mark_line(strokeWidth=14, opacity=0.001).encode(description="said:N")  # for the pointer, and read out
    label = name.mark_text(align="right", dy=-13, fontWeight="bold", fontSize=12, color=INK, aria=False)
    lifted = alt.when(LIFTED).then("title:N").otherwise(alt.value(""))
    return _together(
        mean.mark_line(aria=False).encode(opacity=dim, strokeWidth=thick),
        seeds.encode(x=x, y=alt.Y(f"{key}:Q"), detail=["step:N", "seed:N"], color=_colour(), opacity=seen),
        touch,
        label.encode(x=x, y=y, text=lifted, detail="step:N"),
    )


def agreement(rungs: Sequence[Data]) -> Chart:
    """Changes here against the paper's: in the quadrants on the rising diagonal both go the same way."""
    base = _source([r for r in rungs if r["change"] is not None and r["paper_change"] is not None])
    x: Any = alt.X("paper_change:Q", title="change in the paper, points", scale=alt.Scale(padding=12))
    y: Any = alt.Y("change:Q", title="change here, points")
    zero = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule(color=INK, strokeWidth=1, aria=False)
    bars = base.mark_rule(strokeWidth=1.4, aria=False).encode(
        x=x, y=alt.Y("change_low:Q"), y2="change_high:Q", color=_colour(), opacity=_clear()
    )
    points = _points(base, "significant", size=95).encode(x=x, y=y, description="said:N", tooltip=_tooltip())
    across, up = zero.encode(y=alt.Y("zero:Q")), zero.encode(x=alt.X("zero:Q"))
    return _together(across, up, bars, points, _label(base).encode(x=x, y=y))


def _record(rung: Data) -> Data:
    """Of a rung what charts need."""
    keys = ("step", "title", "main_sequence", "n", "top1", "change", "change_low", "change_high", "significant",
            "paper_change", "gflops", "images_per_second")  # fmt: skip
    spread, top1, seconds = rung["top1_std"] or 0.0, rung["top1"], rung["seconds"]
    return {key: rung[key] for key in keys} | {
        "fill": f"var(--{rung['colour']})",
        "seeds": list(rung["seeds"].values()),
        "low": None if top1 is None else top1 - spread,
        "high": None if top1 is None else top1 + spread,
        "seconds": None if seconds is None else seconds / 60,
        **_said(rung),
    }


def _said(rung: Data) -> Data:
    words = rung["words"]
    said = f"{rung['title']}: top-1 {words['top1']}; change {words['change']}; {words['cost']}"
    return {f"said_{key}": text for key, text in words.items()} | {"said": said}


def _source(records: Sequence[Data]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=[dict(record, order=index) for index, record in enumerate(records)]))


def _rows(records: Sequence[Data]) -> alt.Chart:
    """Rungs downwards, in their order."""
    axis = alt.Axis(title=None, domain=False, ticks=False, labelPadding=8, labelLimit=170, grid=False)
    return _source(records).encode(y=alt.Y("title:N", sort=None, axis=axis))


def _band(base: alt.Chart) -> alt.Chart:
    """A rung's whole row, to be seen when it is lifted."""
    fill = alt.when(LIFTED).then(alt.value(LIFT)).otherwise(alt.value("transparent"))
    return base.mark_bar(height=alt.RelativeBandSize(1), aria=False).encode(**WHOLE, color=fill)


def _touch(base: alt.Chart) -> alt.Chart:
    """The same over all that stands in it, to be pointed at and to be read out."""
    band = base.mark_bar(height=alt.RelativeBandSize(1), color="transparent", cursor="pointer")
    return band.encode(**WHOLE, tooltip=_tooltip(), description="said:N")


def _points(base: alt.Chart, filled: str, *, size: int, read: bool = True) -> alt.Chart:
    """Discs in the colour of their group, hollow where `filled` is not true; `read` out where no band is."""
    fill = alt.when(f"datum.{filled} === true").then(alt.Fill("fill:N", scale=None)).otherwise(alt.value(PAGE))
    stroke = alt.Stroke("fill:N", scale=None)
    mark = base.mark_point(size=size, strokeWidth=2, opacity=1, aria=read, cursor="pointer")
    return mark.encode(fill=fill, stroke=stroke, opacity=_clear(), tooltip=_tooltip(), description="said:N")


def _label(base: alt.Chart) -> alt.Chart:
    """The name of the lifted rung."""
    text = alt.when(LIFTED).then("title:N").otherwise(alt.value(""))
    return base.mark_text(dy=-13, fontWeight="bold", fontSize=12, color=INK, aria=False).encode(text=text)


def _colour() -> Any:
    return alt.Color("fill:N", scale=None)


def _clear() -> Any:
    return alt.when(CLEAR).then(alt.value(1)).otherwise(alt.value(0.25))


def _tooltip() -> list[alt.Tooltip]:
    heads = {
        "title": "title",
        "said_top1": "top-1",
        "said_change": "change",
        "said_cost": "cost",
        "said_delta": "delta",
    }
    return [alt.Tooltip(f"{field}:N", title=head) for field, head in heads.items()]


def _together(*layers: Any, height: int = 300) -> Chart:
    """Layers as one chart, as wide as its place, transparent, in the page's ink."""
    return (
        alt.LayerChart(layer=list(layers))
        .add_params(alt.param(name="rung", value=""))
        .properties(width="container", height=height, background="transparent")
        .configure(font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=FAINT, gridColor=GRID, domainColor=FAINT, tickColor=FAINT,
            labelFontSize=12, titleFontSize=12, titleFontWeight="normal",
        )
    )  # fmt: skip
