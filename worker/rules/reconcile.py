"""The difference between the entities SpreaView shows and those a schedule contains."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from contracts.events import Change, Counts, Room, Session, Speaker
from worker.rules.compare import changed_fields

Entity = TypeVar("Entity", Room, Speaker, Session)


@dataclass(frozen=True, slots=True)
class Reconciliation(Generic[Entity]):
    """The changes of one kind of entity."""

    imported: list[tuple[Entity, Change, tuple[str, ...]]]
    """Each with its kind of change and the fields that differ from its last shown version."""
    withdrawn: list[Entity]
    unchanged: int

    def counts(self, *, skipped: int = 0, withheld: int = 0, left: int = 0) -> Counts:
        """Return the counts of a run for this kind."""
        made = [change for _, change, _ in self.imported]
        return Counts(
            added=made.count("added"),
            updated=made.count("updated"),
            unchanged=self.unchanged,
            restored=made.count("restored"),
            repeated=made.count("repeated"),
            skipped=skipped,
            withdrawn=len(self.withdrawn),
            withheld=withheld,
            left=left,
        )


def reconcile(
    present: Mapping[str, Entity],
    past: Mapping[str, Entity],
    wanted: Mapping[str, Entity],
    *,
    force: bool,
    leaving: Collection[str] = (),
) -> Reconciliation[Entity]:
    """Compare by key. `past` were shown earlier; `leaving` get an event elsewhere."""
    imported: list[tuple[Entity, Change, tuple[str, ...]]] = []
    unchanged = 0
    for key, entity in wanted.items():
        if key in present:
            fields = changed_fields(present[key], entity)
            if fields:
                imported.append((entity, "updated", fields))
            elif force:
                imported.append((entity, "repeated", ()))
            else:
                unchanged += 1
        elif key in past:
            imported.append((entity, "restored", changed_fields(past[key], entity)))
        else:
            imported.append((entity, "added", ()))
    withdrawn = [e for key, e in present.items() if key not in wanted and key not in leaving]
    return Reconciliation(imported, withdrawn, unchanged)
