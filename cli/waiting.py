"""What a person sees while a long command runs: the present step, the time spent, and the time left."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

LINE_EVERY_S = 5.0


class Waiting:
    """A bar on a terminal; elsewhere one line per step, and of a step that reports often one every few seconds."""

    def __init__(self) -> None:
        # Commands redirect what libraries print into a log; this line stays on the terminal.
        self.console = Console(file=sys.__stderr__)
        self.bar = Progress(
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}", markup=False),
            console=self.console,
            transient=True,
        )
        self.task = self.bar.add_task("starting …", total=1.0, left="")
        self.started = time.monotonic()
        self.last = ("", 0.0)

    def __enter__(self) -> "Waiting":
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def say(self, line: str) -> None:
        """Show what is being done now."""
        self.bar.update(self.task, description=line)
        step, now = line.partition(":")[0], time.monotonic()
        if not self.console.is_terminal and (step != self.last[0] or now - self.last[1] > LINE_EVERY_S):
            self.console.print(f"[{now - self.started:5.0f} s] {line}", markup=False, highlight=False, soft_wrap=True)
            self.last = (step, now)

    def share(self, done: float) -> None:
        """Show how much of the whole is done, between 0 and 1, and so how long the rest will take."""
        spent = time.monotonic() - self.started
        left = f"about {spent / done * (1 - done) / 60:.0f} min left" if done > 0.05 else ""
        self.bar.update(self.task, completed=done, left=left)
        if left and done < 1 and not self.console.is_terminal:
            self.console.print(f"[{spent:5.0f} s] {left}", markup=False, highlight=False, soft_wrap=True)
