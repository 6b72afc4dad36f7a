"""`relay status` and `relay rewind`."""

import json
import sys
from functools import partial

from aiokafka.errors import KafkaError
from rich.console import Console

from cli.connections import Addresses, leader_connection
from cli.runfile import resolve
from cli.servers import answering_database
from cli.services import relay_outlet
from cli.settings import Settings
from contracts.error_text import describe_error
from eventstore.checkpoints import Checkpoints
from eventstore.log import EventLog
from worker.relay.rewind import RelayStatus, RewindError, relay_status
from worker.relay.rewind import rewind as rewind_relay


async def status(settings: Settings, *, as_json: bool) -> int:
    """Show how the relay is; 0 if nobody has to act, 1 otherwise."""
    addresses = resolve(settings)
    async with answering_database(addresses.database_url, pool_size=2) as engine:
        try:
            found = await relay_status(
                EventLog(engine),
                Checkpoints(engine),
                relay_outlet(addresses),
                partial(leader_connection, addresses.database_url),
            )
        except (KafkaError, TimeoutError) as error:
            return _no_kafka(addresses, error)
    if as_json:
        print(json.dumps(_told(found)))
    else:
        _show(Console(highlight=False, emoji=False), found)
    return 0 if found.is_well else 1


async def rewind(settings: Settings, *, to: int | None, restored: bool, as_json: bool) -> int:
    """Set the relay back; 0 if it is done."""
    addresses = resolve(settings)
    async with answering_database(addresses.database_url, pool_size=2) as engine:
        try:
            checkpoint = await rewind_relay(
                EventLog(engine),
                Checkpoints(engine),
                relay_outlet(addresses),
                partial(leader_connection, addresses.database_url),
                to=to,
                restored=restored,
            )
        except RewindError as error:
            print(f"spreaview-sync: {error}", file=sys.stderr)
            return 1
        except (KafkaError, TimeoutError) as error:
            return _no_kafka(addresses, error)
    if as_json:
        print(json.dumps({"position": checkpoint.position, "log_id": str(checkpoint.log_id)}))
    else:
        print(f"The relay goes on after position {checkpoint.position}.")
        if restored:
            print(f"The log is urn:spreaview:log:{checkpoint.log_id} from now on.")
    return 0


def _no_kafka(addresses: Addresses, error: Exception) -> int:
    print(
        f"spreaview-sync: Kafka at {addresses.kafka} does not answer: {describe_error(error)}\n"
        "Remedy: check SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS and the broker.",
        file=sys.stderr,
    )
    return 1


def _told(status: RelayStatus) -> dict[str, object]:
    checkpoint, mark = status.checkpoint, status.mark
    return {
        "well": status.is_well,
        "leader": status.leader,
        "head": status.head,
        "checkpoint": checkpoint.position if checkpoint else None,
        "kafka_checkpoint": mark.position if mark else None,
        "behind_events": status.behind.events,
        "behind_seconds": round(status.behind.seconds, 3),
        "mismatch": status.mismatch,
        "unpublished": [
            {
                "position": event.position,
                "message_id": str(event.message_id),
                "reason": event.reason,
                "since": event.since.isoformat(),
            }
            for event in status.unpublished
        ],
    }


def _show(console: Console, status: RelayStatus) -> None:
    told = _told(status)
    none_leads = "nobody: is a worker running?"
    console.print(f"leader       {status.leader or none_leads}")
    console.print(f"log          up to position {status.head}")
    console.print(f"published    up to position {told['checkpoint'] or 0}")
    console.print(f"behind       {status.behind.events} events, {status.behind.seconds:.1f} s")
    if status.mismatch:
        console.print(f"[red]stands still[/] {status.mismatch}")
    for event in status.unpublished:
        console.print(f"[red]not published[/] position {event.position}: {event.reason}")
