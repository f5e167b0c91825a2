"""Draws docs/images/dashboard.png: every panel of the chart's Grafana dashboard, with data of the real server.

dashboard_screenshot.py [--seconds 240] [--out docs/images/dashboard.png]

Starts what tests/monitoring starts (the real rae-server in every role, PostgreSQL, Redis, Prometheus), makes traffic, and asks
Prometheus the queries of the dashboard's JSON. Places, titles, units, legends and thresholds are those of the JSON. Grafana itself
is not needed; matplotlib draws. Needs what scripts/monitoring_tests.sh needs, and `pip install matplotlib`.
"""

import argparse
import json
import math
import re
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "monitoring"))
import queries
import rendered
from stack import Stack
from traffic import Traffic

PAGE, PANEL, EDGE, TEXT, FAINT, GRID = "#111217", "#181b1f", "#2b2f36", "#d0d1dc", "#8e93a0", "#2a2d33"
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c"}
LINES = [
    "#73bf69",
    "#f2cc0c",
    "#5794f2",
    "#ff9830",
    "#f2495c",
    "#b877d9",
    "#8ab8ff",
    "#fade2a",
    "#96d98d",
    "#ff7383",
    "#ca95e5",
    "#ffb357",
]
WIDTH, UNIT, DPI = 1500, 25, 100
LEGEND_MAX = 6


def number(value: float, unit: str) -> str:
    """A value as Grafana writes it in this unit."""
    if not math.isfinite(value):
        return ""
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    if unit == "s":
        for size, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return "0 s"
    if unit == "bytes":
        for size, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.0f} B"
    if unit == "currencyUSD":
        return f"${value:.3g}"
    tail = {"reqps": " req/s", "ops": " ops/s"}.get(unit, "")
    for size, name in ((1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:.3g}{name}{tail}"
    return f"{value:.3g}{tail}"


def legend(template: str, labels: dict) -> str:
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda m: labels.get(m[1], ""), template)


def color(thresholds: dict, value: float) -> str:
    steps = [s for s in thresholds["steps"] if s["value"] is None or value >= s["value"]]
    return NAMED.get(steps[-1]["color"], TEXT)


class Drawing:
    def __init__(self, board: dict, stack: Stack):
        self.board, self.stack = board, stack
        self.rows = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in board["panels"]) + 2
        self.figure = plt.figure(figsize=(WIDTH / DPI, self.rows * UNIT / DPI), dpi=DPI, facecolor=PAGE)
        said = datetime.fromtimestamp(stack.ended, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        self.text(10, 1.3 * UNIT, board["title"], size=13, weight="bold")
        self.text(
            WIDTH - 10,
            1.3 * UNIT,
            f"last {(stack.ended - stack.began) / 60:.0f} minutes to {said}, drawn by matplotlib",
            size=7,
            ha="right",
            color=FAINT,
        )

    def text(self, x: float, y: float, text: str, size: float = 7, **more) -> None:
        """At pixels from the upper left corner."""
        self.figure.text(x / WIDTH, 1 - y / (self.rows * UNIT), text, fontsize=size, **({"color": TEXT} | more))

    def axes(self, x: float, y: float, w: float, h: float):
        axes = self.figure.add_axes((x / WIDTH, 1 - (y + h) / (self.rows * UNIT), w / WIDTH, h / (self.rows * UNIT)))
        axes.set_facecolor(PANEL)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(colors=FAINT, labelsize=5.5, length=0, pad=2)
        return axes

    def draw(self) -> None:
        for panel in self.board["panels"]:
            at = panel["gridPos"]
            column = (WIDTH - 16) / 24
            x, y, w, h = 8 + at["x"] * column, (at["y"] + 2) * UNIT, at["w"] * column, at["h"] * UNIT
            if panel["type"] == "row":
                self.text(x + 2, y + 0.72 * UNIT, "▾ " + panel["title"], size=9, weight="bold")
                continue
            frame = (x + 2, y + 2, w - 4, h - 4)
            total = self.rows * UNIT
            self.figure.add_artist(
                Rectangle(
                    (frame[0] / WIDTH, 1 - (frame[1] + frame[3]) / total),
                    frame[2] / WIDTH,
                    frame[3] / total,
                    facecolor=PANEL,
                    edgecolor=EDGE,
                    linewidth=0.6,
                    transform=self.figure.transFigure,
                    zorder=-1,
                )
            )
            self.text(x + 9, y + 15, panel["title"], size=7, weight="bold")
            series = self.series(panel)
            getattr(self, panel["type"])(panel, series, *frame)

    def series(self, panel: dict) -> list[tuple[str, list[float], list[float], dict]]:
        found = []
        for target in panel["targets"]:
            expr = queries.put_in(target["expr"], interval="12s", whole=f"{int(self.stack.ended - self.stack.began)}s")
            if target["instant"]:
                answer = self.stack.ask("query", query=expr, time=self.stack.ended)["result"]
                points = [(s["metric"], [s["value"]]) for s in answer]
            else:
                answer = self.stack.ask(
                    "query_range", query=expr, start=self.stack.began, end=self.stack.ended, step="2"
                )["result"]
                points = [(s["metric"], s["values"]) for s in answer]
            for labels, values in points:
                xs, ys = [float(t) for t, _ in values], [float(v) for _, v in values]
                found.append((legend(target["legendFormat"], labels), xs, ys, labels))
        return found

    def nothing(self, panel: dict, x: float, y: float, w: float, h: float) -> None:
        self.text(
            x + w / 2,
            y + h / 2 + 6,
            panel["fieldConfig"]["defaults"].get("noValue", "No data"),
            ha="center",
            color=FAINT,
        )

    def limits(self, axes, defaults: dict, top: float) -> None:
        low, high = defaults.get("min", 0), defaults.get("max")
        axes.set_ylim(low, high if high is not None else (top * 1.12 or 1))

    def time_axis(self, axes) -> None:
        axes.set_xlim(self.stack.began, self.stack.ended)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda t, _: datetime.fromtimestamp(t, timezone.utc).strftime("%H:%M:%S"))
        )

    def timeseries(self, panel: dict, series: list, x: float, y: float, w: float, h: float) -> None:
        if not series:
            self.nothing(panel, x, y, w, h)
            return
        defaults = panel["fieldConfig"]["defaults"]
        series.sort(key=lambda s: -max((v for v in s[2] if math.isfinite(v)), default=0))
        shown = series[: LEGEND_MAX - 1] if len(series) > LEGEND_MAX else series
        lines = math.ceil((len(shown) + (len(series) > len(shown))) / 2)
        axes = self.axes(x + 52, y + 26, w - 66, h - 50 - 13 * lines)
        top = 0.0
        stacked = defaults["custom"]["stacking"]["mode"] == "normal"
        if stacked:
            moments = sorted({t for _, xs, _, _ in series for t in xs})
            under = [0.0] * len(moments)
        for i, (_, xs, ys, _) in enumerate(series):
            line = LINES[i % len(LINES)]
            if stacked:
                have = dict(zip(xs, ys, strict=True))
                over = [
                    u + (have.get(t, 0.0) if math.isfinite(have.get(t, 0.0)) else 0.0)
                    for t, u in zip(moments, under, strict=True)
                ]
                axes.fill_between(moments, under, over, color=line, alpha=0.3, linewidth=0)
                axes.plot(moments, over, color=line, linewidth=0.9)
                under, top = over, max(top, *over)
            else:
                axes.plot(xs, ys, color=line, linewidth=0.9, marker="." if len(xs) < 4 else None, markersize=3)
                top = max(top, max((v for v in ys if math.isfinite(v)), default=0))
        self.limits(axes, defaults, top)
        if defaults["custom"]["thresholdsStyle"]["mode"] == "line":
            for step in defaults["thresholds"]["steps"]:
                if step["value"] is not None:
                    axes.axhline(step["value"], color=NAMED[step["color"]], linewidth=0.7, linestyle="--")
        self.time_axis(axes)
        axes.grid(color=GRID, linewidth=0.5)
        whole = MaxNLocator(5, integer=defaults["unit"] == "short" and top >= 3)
        axes.yaxis.set_major_locator(whole if top else FixedLocator([0]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: number(v, defaults["unit"])))
        names = [name for name, *_ in shown] + (
            [f"and {len(series) - len(shown)} more"] if len(series) > len(shown) else []
        )
        for i, name in enumerate(names):
            left, under_ = x + 10 + (i % 2) * (w - 16) / 2, y + h - 13 * lines + 13 * (i // 2) + 4
            fits = int((w / 2 - 28) / 4.6)
            if i < len(shown):
                self.text(left, under_, "▬", size=6, color=LINES[i % len(LINES)])
            self.text(
                left + 13,
                under_,
                name if len(name) <= fits else name[: fits - 1] + "…",
                size=6,
                color=TEXT if i < len(shown) else FAINT,
            )

    def stat(self, panel: dict, series: list, x: float, y: float, w: float, h: float) -> None:
        values = [v for _, _, ys, _ in series for v in ys if math.isfinite(v)]
        if not values:
            self.nothing(panel, x, y, w, h)
            return
        defaults = panel["fieldConfig"]["defaults"]
        now = color(defaults["thresholds"], values[-1])
        self.text(
            x + w / 2,
            y + h * 0.58,
            number(values[-1], defaults["unit"]),
            size=15,
            weight="bold",
            ha="center",
            color=now,
        )
        axes = self.axes(x + 1, y + h * 0.66, w - 2, h * 0.33)
        axes.set_axis_off()
        for _, xs, ys, _ in series:
            axes.fill_between(xs, ys, color=now, alpha=0.25, linewidth=0)
            axes.plot(xs, ys, color=now, linewidth=0.8)

    def bargauge(self, panel: dict, series: list, x: float, y: float, w: float, h: float) -> None:
        if not series:
            self.nothing(panel, x, y, w, h)
            return
        defaults = panel["fieldConfig"]["defaults"]
        series = series[:10]
        most = defaults.get("max") or max(ys[0] for _, _, ys, _ in series) or 1
        axes = self.axes(x + 130, y + 28, w - 200, h - 40)
        for i, (name, _, ys, _) in enumerate(series):
            here = color(defaults["thresholds"], ys[0])
            axes.barh(i, most, color="#22262c", height=0.62)
            axes.barh(i, ys[0], color=here, height=0.62)
            axes.text(most * 1.02, i, number(ys[0], defaults["unit"]), color=here, fontsize=7, va="center")
            axes.text(-most * 0.02, i, name, color=TEXT, fontsize=6, va="center", ha="right")
        axes.set_xlim(0, most)
        axes.set_ylim(max(len(series), 4) - 0.5, -0.5)
        axes.set_axis_off()

    def heatmap(self, panel: dict, series: list, x: float, y: float, w: float, h: float) -> None:
        series = sorted(series, key=lambda s: float(s[3]["le"]))
        moments = sorted({t for _, xs, _, _ in series for t in xs})
        below, grid = [0.0] * len(moments), []
        for _, xs, ys, _ in series:  # buckets hold all that was faster, too
            have = dict(zip(xs, ys, strict=True))
            now = [have.get(t, 0.0) for t in moments]
            grid.append([max(0.0, a - b) for a, b in zip(now, below, strict=True)])
            below = now
        axes = self.axes(x + 52, y + 26, w - 66, h - 50)
        shades = LinearSegmentedColormap.from_list("oranges", [PANEL, "#7a3b00", "#ff9830", "#ffe6c7"])
        axes.pcolormesh(moments, range(len(grid) + 1), [row[:-1] for row in grid], cmap=shades, norm=PowerNorm(0.5))
        axes.set_yticks([i + 0.5 for i in range(0, len(grid), 2)])
        axes.set_yticklabels([number(float(s[3]["le"]), "s") or "more" for s in series[::2]])
        self.time_axis(axes)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "dashboard.png")
    args = parser.parse_args()
    with Stack() as stack:
        stack.began = time.time()
        Traffic(stack).everything(args.seconds)
        time.sleep(4)
        stack.ended = time.time()
        drawing = Drawing(rendered.dashboard(), stack)
        drawing.draw()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    drawing.figure.savefig(args.out, facecolor=PAGE, dpi=DPI)
    shrink(args.out)
    shown = sum(p["type"] != "row" for p in drawing.board["panels"])
    print(json.dumps({"panels": shown, "bytes": args.out.stat().st_size, "file": str(args.out)}))


def shrink(file: Path) -> None:
    """Few colours are enough, and make a small file."""
    from PIL import Image

    with Image.open(file) as image:
        small = image.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(file, optimize=True)


if __name__ == "__main__":
    main()
