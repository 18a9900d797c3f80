"""A run as one screen: stages, curves, figures, targets and the last word of warning."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from tunesmith.cli.progress import clock
from tunesmith.cli.scene import Goal, Scene, finite
from tunesmith.report.charts.braille import Curve, plot
from tunesmith.report.format import figure, memory, short

TRAINED, HELD_OUT, OTHER = "cyan", "magenta", "blue"
"""The colours of what is measured on training rows, on validation rows, and of the rest."""
STAGES = {
    "waiting": ("○", "dim"),
    "start": ("●", "bold cyan"),
    "done": ("✓", "green"),
    "skipped": ("✓", "green"),
    "borrowed": ("✓", "green"),
}
SIGN = " ! "
NARROW = 62
"""Below so many letters there is one chart."""
TITLE = "bold default"
LOWEST = 7
"""Lines of the smallest chart, its frame included."""


class Dashboard:
    """Draws a scene into whatever space the terminal has.

    Args:
        scene: the run; it may change between two drawings.
        now: the time, in seconds since the epoch.
        footer: what stands in the last line.
    """

    def __init__(self, scene: Scene, now: float | None = None, footer: str = "") -> None:
        self.scene, self.footer = scene, footer
        self.now = time.time() if now is None else now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self.scene.still:
            lines = self._lines(console, options, options.max_width, options.height or console.height)
        for place, line in enumerate(lines):
            if place:
                yield Segment.line()
            yield from line

    def _lines(self, console: Console, options: ConsoleOptions, width: int, height: int) -> list[list[Segment]]:
        above = [self._head(width), self._bar(width), self._stages(), Text("")]
        below = [self._figures(width), *self._goals(width), *self._words(width)]
        if self.footer:
            below.append(Text(f" {self.footer}", style="dim", no_wrap=True, overflow="ellipsis"))
        room = height - len(above) - len(below)
        charts = [self._charts(width, room)] if room >= 4 else []
        return console.render_lines(Group(*above, *charts, *below), options.update(height=None), pad=False)[:height]

    # Above the charts --------------------------------------------------------------------------

    def _head(self, width: int) -> Text:
        scene, last = self.scene, self.scene.last
        stage = scene.current or ""
        left = Text.assemble((f" {scene.name} ", "bold reverse"), "  ", (stage or scene.decision, "bold"), no_wrap=True)
        right = ""
        if last and stage == scene.shown:
            left.append(f"  step {last['step']:,} of {last.get('total_steps', 0):,}")
            if last.get("epoch") is not None and width >= 50:
                left.append(f"  epoch {last['epoch']:.2f}", style="dim")
            if last.get("seconds_left") is not None:
                right = f"{clock(float(last['seconds_left']))} left"
        elif scene.progress:
            done, total = scene.progress["done"], scene.progress["total"]
            left.append(f"  {scene.progress['what']} {done:,}{f' of {total:,}' if total else ''}")
        left.truncate(max(8, width - len(right) - 2), overflow="ellipsis")
        left.append(" " * max(1, width - left.cell_len - len(right)))
        left.append(right, style="bold")
        return left

    def _bar(self, width: int) -> Text:
        """How far the stage at work is."""
        scene, last = self.scene, self.scene.last
        share = None
        if last and scene.current == scene.shown and last.get("total_steps"):
            share = last["step"] / last["total_steps"]
        elif scene.progress and scene.progress["total"]:
            share = scene.progress["done"] / scene.progress["total"]
        if share is None:
            return Text("━" * width, style="bright_black")
        full = round(min(share, 1.0) * width)
        return Text.assemble(("━" * full, TRAINED), ("━" * (width - full), "bright_black"), no_wrap=True)

    def _stages(self) -> Text:
        text = Text(" ", no_wrap=True, overflow="ellipsis")
        for name, stage in self.scene.stages.items():
            sign, style = STAGES.get(stage.status, STAGES["waiting"])
            seconds = self.now - stage.began if stage.status == "start" and stage.began else stage.seconds
            text.append(f"{sign} {name}", style=style)
            if seconds is not None:
                text.append(f" {clock(max(seconds, 0.0))}", style="dim")
            text.append("   ")
        text.rstrip()
        return text

    # The charts --------------------------------------------------------------------------------

    def _charts(self, width: int, height: int) -> RenderableType:
        loss, *others = self._chosen()
        told = [step for _, curves in (loss, *others) for curve in curves for step, _ in curve.points]
        steps = (min(told), max(told)) if told else None
        if width < NARROW or not others:
            return _panel(loss, width, height, steps)
        fit = others[: max(1, height // LOWEST)]
        left = round(width * (0.6 if width < 120 else 0.55))
        side = [height // len(fit) + (place < height % len(fit)) for place in range(len(fit))]
        stack = Group(*(_panel(chart, width - left - 1, lines, steps) for chart, lines in zip(fit, side, strict=True)))
        grid = Table.grid(padding=0)
        grid.add_column(width=left)
        grid.add_column(width=1)
        grid.add_column(width=width - left - 1)
        grid.add_row(_panel(loss, left, height, steps), "", stack)
        return grid

    def _chosen(self) -> list[tuple[Text, list[Curve]]]:
        """Title and curves of each chart, the most telling first: a chart of one point tells little."""
        scene = self.scene
        checked = scene.checked()
        losses, held_out = scene.curve("loss"), checked.pop("loss", [])
        title = Text.assemble(("loss", TITLE), *_legend("━ training", TRAINED, losses))
        title.append_text(Text.assemble(*_legend("● validation", HELD_OUT, held_out)))
        curves = [Curve(losses, TRAINED), *([Curve(held_out, HELD_OUT, marks=True)] if held_out else [])]
        charts = [(title, curves)]
        charts += [
            (Text.assemble((name, TITLE), *_legend("●", HELD_OUT, points)), [Curve(points, HELD_OUT, marks=True)])
            for name, points in checked.items()
        ]
        if losses:
            charts += [
                (Text(name, style=TITLE), [Curve(points, OTHER)])
                for key, name in (("grad_norm", "gradient norm"), ("lr", "learning rate"))
                if (points := scene.curve(key))
            ]
        return charts

    # Below the charts --------------------------------------------------------------------------

    def _figures(self, width: int) -> Text:
        last = self.scene.last
        shown = [
            (name, shape(value))
            for key, name, shape in (
                ("loss", "loss", figure),
                ("lr", "lr", short_power),
                ("grad_norm", "gradient", figure),
                ("tokens_per_second", "tokens/s", short),
                ("memory_mb", "memory", memory),
            )
            if (value := finite(last.get(key))) is not None
        ]
        if (best := self.scene.best()) is not None:
            shown.append(("best", f"step {best:,}"))
        text = Text(" ", no_wrap=True, overflow="ellipsis")
        for name, said in shown:
            piece = Text.assemble((f"{name} ", "dim"), (said, "bold"), "   ")
            if text.cell_len + piece.cell_len - 3 > width:
                break
            text.append_text(piece)
        if not shown:
            text.append(self.scene.noted or "no step yet", style="dim")
        text.rstrip()
        return text

    def _goals(self, width: int) -> Iterator[Text]:
        """The targets, in as many lines as they need, three at most."""
        lines, rest = [Text.assemble((" targets  ", "dim"), no_wrap=True)], len(self.scene.goals)
        for goal in self.scene.goals:
            piece = self._goal(goal)
            if lines[-1].cell_len + piece.cell_len > width and lines[-1].cell_len > 10:
                if len(lines) == 3:
                    lines[-1].append(f"+{rest}", style="dim")
                    break
                lines.append(Text(" " * 10, no_wrap=True))
            lines[-1].append_text(piece)
            lines[-1].append("   ")
            rest -= 1
        for line in lines if self.scene.goals else ():
            line.rstrip()
            line.truncate(width, overflow="ellipsis")
            yield line

    def _goal(self, goal: Goal) -> Text:
        """A target with the last validation figure of its metric; of a slice there is none before the end."""
        text = Text(goal.metric)
        if goal.slice:
            text.append(f" ({goal.slice})", style="dim")
        text.append(f" {goal.sign} {goal.shown}")
        points = [] if goal.slice else self.scene.checked().get(goal.metric, [])
        value = finite(points[-1][1]) if points else None
        if value is not None:
            reached = goal.reached(value)
            text.append(f"  {figure(value)} {'✓' if reached else '…'}", style="green" if reached else "yellow")
        return text

    def _words(self, width: int) -> list[Text]:
        """The last diagnosis or warning, in two lines at most."""
        if not self.scene.warnings:
            return []
        said = self.scene.warnings[-1]
        text = Text(" ".join(str(said["text"]).split()), style="yellow")
        room = width - len(SIGN) - 1
        lines = list(text.wrap(Console(width=room), room))
        if len(lines) > 2:
            lines[1].rstrip()
            lines = [lines[0], Text.assemble(lines[1], " …", style="yellow")]
            lines[1].truncate(room, overflow="ellipsis")
        return [
            Text.assemble((SIGN if not place else " " * len(SIGN), "bold yellow"), line, no_wrap=True)
            for place, line in enumerate(lines)
        ]


def _legend(name: str, style: str, points: Sequence[tuple[float, float]]) -> list[tuple[str, str]]:
    """What a curve is and where it stands; nothing where there is none."""
    return [(f"  {name} {figure(points[-1][1])}", style)] if points else []


def _panel(chart: tuple[Text, list[Curve]], width: int, height: int, steps: tuple[float, float] | None) -> Panel:
    title, curves = chart
    # A rate is a course over time; losses and gradients are compared by how many times they shrink.
    lines = plot(curves, width - 4, max(height - 2, 3), steps=steps, log=title.plain.startswith(("loss", "gradient")))
    return Panel(
        Group(*lines), title=title, title_align="left", box=box.ROUNDED, border_style="bright_black",
        width=width, height=height, padding=(0, 1),
    )  # fmt: skip


def short_power(value: float) -> str:
    """A learning rate: `2e-4`, `1.3e-5`."""
    mantissa, _, power = f"{value:.2e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}" if value else "0"
