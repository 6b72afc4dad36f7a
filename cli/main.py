"""`spreaview-sync`: the command line. This module only registers the commands."""

import sys

from cli.arguments import not_text
from cli.errors import of_a_file
from cli.registry import Command, Sections, command_line

SECTIONS: Sections = {
    "Start": {
        "demo": Command("demo", "Import a conference on a local sandbox and show what happened."),
        "up": Command("up", "Run everything until Ctrl-C, with local servers where none are set."),
        "request": Command("request", "Request a sync; with --wait, report its outcome."),
        "plan": Command("plan", "Show what a sync would do now, and change nothing."),
    },
    "Run": {
        "migrate": Command("migrate", "Bring the database to this version."),
        "worker": Command("worker", "Run a worker: it takes sync requests and publishes the log."),
        "projector": Command("projector", "Run a projector: it builds the read models."),
        "api": Command("api", "Run the HTTP side: queries, requests, the live feed, the page."),
    },
    "Operate": {
        "status": Command("status", "Show whether all is well, and what to do if it is not."),
        "doctor": Command("doctor", "Examine settings, servers, rights, topics, clocks and work."),
        "relay": Command("relay", "The relay, which publishes the log to Kafka."),
        "projections": Command("projections", "The read models: their status and their repair."),
        "dlq": Command("dlq", "Dead letters: requests that could not be read."),
        "token": Command("token", "Tokens for the HTTP side."),
        "retention": Command(
            "retention", "Delete old data by the settings, and show what is kept."
        ),
        "erasures": Command("erasures", "Erasures as a whole: export them, replay them."),
        "erase-speaker": Command("erase_speaker", "Erase the personal data of a person."),
        "version": Command("version", "Print the version."),
    },
    "Audit": {
        "history": Command(
            "history", "List the events, the syncs of one, or an entity's timeline."
        ),
        "explain": Command("explain", "Explain why a session, room or speaker is missing."),
        "diff": Command("diff", "Show what changed between two moments."),
        "as-of": Command("as_of", "Show the read models of an event as they were."),
        "source": Command("source", "The documents that the syncs decided on."),
        "reimport": Command("reimport", "Decide old documents by today's rules."),
        "verify": Command("verify", "Verify that the log and the read models are as recorded."),
        "seals": Command("seals", "Seals of the log, which show what its chains cannot."),
        "export": Command("export", "Write the log as JSON Lines, hashes included."),
        "import": Command("import_log", "Load an exported log into an empty database."),
        "replay": Command("replay", "Publish the log again, marked as a replay."),
    },
}

app = command_line("spreaview-sync", SECTIONS)


def main() -> None:
    """Run the command line; an unforeseen fault is logged and ends it with 1."""
    if (sentence := not_text(sys.argv[1:])) is not None:
        print(f"spreaview-sync: {sentence}", file=sys.stderr)
        sys.exit(2)
    try:
        app()
    except Exception as error:  # Python itself would print the values in its message
        if isinstance(error, OSError) and (sentence := of_a_file(error)) is not None:
            sys.exit(f"spreaview-sync: {sentence}")
        from cli.logs import log_fault

        log_fault()
        sys.exit(1)
