"""Ways to reach people: one file each, all with `tell(message, person, key) -> Outcome`."""
