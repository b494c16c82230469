"""The `stillhouse` command: which commands there are, for whom, and in which module each one lives.

A command's module is imported only when it runs, so that `--help` answers at once and `stillhouse sql` loads no torch.
To add a command, write a function of its name in a module of this room and name it in `SECTIONS`.
"""

import importlib
import os
import sys
import time
from dataclasses import dataclass

import click

from lakehouse.errors import short_error


@dataclass(frozen=True)
class Entry:
    """Where a command lives, and what it does in one line."""

    module: str
    summary: str


SECTIONS: dict[str, dict[str, Entry]] = {
    "The lake (it starts by itself when a command needs it)": {
        "up": Entry("cli.lake", "Start the lake; --jdbc for JDBC clients, --cluster on Spark workers."),
        "status": Entry("cli.lake", "Say whether the lake runs, since when and where."),
        "down": Entry("cli.lake", "Stop the lake; what it holds stays."),
        "env": Entry("cli.lake", 'Let dbt and others find it: eval "$(stillhouse env)"'),
        "repair": Entry("cli.repair", "Mend a table whose log or catalogue entry a crash damaged."),
        "vacuum": Entry("cli.retention", "Delete data files that no release and no reader needs."),
    },
    "Logs": {
        "fetch": Entry("cli.sources", "Land a public log: movielens or open-bandit."),
        "simulate": Entry("cli.sources", "Land a synthetic world whose truth is known."),
        "ingest": Entry("cli.ingest", "Load what has landed into raw.*, each file exactly once."),
        "backfill": Entry("cli.backfill", "Build days again for rows that landed late, or for a new column."),
        "forget": Entry("cli.privacy", "Remove people from all that is kept, past every pin."),
    },
    "Releases": {
        "demo": Entry("cli.retrain", "Everything once: land a log, retrain over its calendar, show what came out."),
        "live": Entry("cli.live", "The whole loop with simulated users, two bad releases among the good ones."),
        "retrain": Entry("cli.retrain", "Retrain one week, or make a release again with --like ID."),
        "release": Entry("cli.card", "Show all that is known of a release: verdict, figures, lineage, history."),
        "compare": Entry("cli.compare", "Say where two releases differ, and what went into them that differs."),
        "compare-recipes": Entry("cli.compare", "Train on two recipes over the same days, and judge both."),
        "gate": Entry("cli.gate", "Show why a release was passed or refused, or overrule a refusal."),
        "verify": Entry("cli.releases", "Check every file of a release against its hashes."),
        "versions": Entry("cli.retention", "List the table versions that each release needs, readable or not."),
        "freeze": Entry("cli.retention", "Copy what a release was made from, so that it outlives the tables."),
    },
    "Online": {
        "snapshot": Entry("cli.online", "Write the features of all users and items for ranking servers."),
        "serve": Entry("cli.online", "Answer POST /v1/rank with the release in production."),
        "collect": Entry("cli.online", "Take POST /v1/events, and land what training needs of them."),
        "hash-id": Entry("cli.privacy", "Say what stands for an id in the lake, where online.yml hashes ids."),
    },
    "On call": {
        "alerts": Entry("cli.alerts", "List what somebody should look at now, with the next step of each."),
        "production": Entry("cli.releases", "Say what is in production, since when, why, and from which data."),
        "history": Entry("cli.releases", "List every release, promotion and revert."),
        "rollout": Entry("cli.rollout", "Show how the canary does; hold, promote or revert it."),
        "experiments": Entry("cli.experiments", "Say how the experiments do that run now."),
        "revert": Entry("cli.releases", "Put the last good release back."),
        "exclude": Entry("cli.rollout", "List rows that are not trained on, or leave a bad window out."),
    },
    "For analysts": {
        "sql": Entry("cli.lake", "Ask the lake a question in SQL."),
        "advise": Entry("cli.advise", "Say whether a recipe is cheaper as a table or sampled while reading."),
    },
}


class Sections(click.Group):
    """A group that lists its commands by the people they are for, without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for commands in SECTIONS.values():
            if cmd_name in commands:
                module = importlib.import_module(commands[cmd_name].module)
                command = getattr(module, cmd_name.replace("-", "_"))
                assert isinstance(command, click.Command)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in self.list_commands(ctx))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), entry.summary) for name, entry in commands.items()])


@click.group(cls=Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--traceback", is_flag=True, help="Show where in the code an error comes from.")
def stillhouse(traceback: bool) -> None:
    """Keeps a recommendation ranker fresh, from raw logs to a released model.

    Everything lives in one folder, the home: ./var, or the folder that STILLHOUSE_HOME names. Times are UTC.
    `stillhouse COMMAND --help` explains a command.
    """


def main() -> None:
    """Run the command line; an error ends it with one short message and exit code 1."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        stillhouse.main(prog_name="stillhouse", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (`| head`) has seen enough; keep Python from failing again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if "--traceback" in sys.argv:
            raise
        click.echo(f"stillhouse: {short_error(error)}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
