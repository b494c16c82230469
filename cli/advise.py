"""`stillhouse advise`: a recipe as a table or sampled while reading, whichever costs less."""

import click
from rich.console import Console
from rich.table import Table


@click.command("advise")
@click.argument("recipe")
@click.option("--runs-per-month", type=click.FloatRange(min=0, min_open=True), default=4.0, show_default=True)
def advise(recipe: str, runs_per_month: float) -> None:
    """Say whether RECIPE is cheaper as a table or sampled while reading, and from how many runs on.

    Costs are predicted from the sizes in the tables' logs, the recipe's rates, and a probe of this machine's speed; the
    reads are then carried out, so that you can see what the predictions are worth. Writing is taken as decoding every
    example and encoding what is kept; what dbt and Spark need to get going comes on top.
    """
    from lakehouse.advice import Cost
    from lakehouse.advice import advise as advise_on
    from lakehouse.home import home
    from lakehouse.recipes import recipe as named

    advice = advise_on(named(recipe), home=home(), runs_per_month=runs_per_month)
    table = Table("", "MB predicted", "MB measured", "s predicted", "s measured", box=None)

    def line(label: str, predicted: Cost | None, measured: Cost | None) -> None:
        sizes = (f"{one.bytes / 1e6:,.1f}" if one else "" for one in (predicted, measured))
        times = (f"{one.seconds:,.2f}" if one else "" for one in (predicted, measured))
        table.add_row(label, *sizes, *times)

    line("write the table, at least", advice.predicted.write_table, advice.measured.write_table)
    line("read the table, a run", advice.predicted.read_table, advice.measured.read_table)
    line("sample on the fly, a run", advice.predicted.read_on_the_fly, advice.measured.read_on_the_fly)
    console = Console(highlight=False)
    console.print(f"{recipe} keeps about {advice.kept_rows:,} of {advice.rows:,} examples of {advice.days} days.")
    console.print(table)
    runs = advice.break_even_runs_per_month
    if runs is None:
        console.print("A table never pays: reading it takes as long as sampling on the fly.")
    else:
        console.print(f"A table is cheaper from about {runs:,.1f} runs a month on.")
    better = "materialised: true" if advice.materialise else "materialised: false"
    console.print(f"At {runs_per_month:g} runs a month: {better}")
