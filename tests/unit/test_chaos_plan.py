"""The seed determines the requests, and the faults with their targets."""

from itertools import islice

from tests.support.chaos.plan import KINDS, Target, plan
from tests.support.chaos.world import Form, Record, World


def _asked(seed: int) -> list[tuple[Form, str, str, bool]]:
    records: list[Record] = list(islice(World(seed, 6).records(), 200))
    return [(r.form, r.event.api_id, str(r.request_id), r.moves_on) for r in records]


def test_a_seed_gives_the_same_faults_and_another_seed_gives_others() -> None:
    assert plan(7, 50) == plan(7, 50)
    assert plan(7, 50) != plan(8, 50)


def test_few_faults_cover_every_target() -> None:
    assert {fault.target for fault in plan(7, len(Target))} == set(Target)


def test_many_faults_cover_every_kind() -> None:
    happened = {(fault.target, fault.kind) for fault in plan(7, 1000)}
    assert happened == {(target, kind) for target, kinds in KINDS.items() for kind in kinds}


def test_a_seed_gives_the_same_requests_of_every_kind() -> None:
    assert _asked(7) == _asked(7)
    assert _asked(7) != _asked(8)
    assert {form for form, *_ in _asked(7)} == set(Form)


def test_two_events_share_an_api_id() -> None:
    events = World(7, 6).events
    assert len({event.event_id for event in events}) == 6
    assert len({event.api_id for event in events}) == 4
