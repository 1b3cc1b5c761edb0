"""The demonstration: virtual sensors, the real agent, a phone and a view, each a process; one short night.

`story.py` says what happens when, `data/` holds the site and its quiet world, `phone.py` is the receiver of
the pushes, `children.py` keeps the processes, `tally.py` counts from their logs, `play.py` puts all
together. Nothing here judges or tells anything: that is the agent's, which knows nothing of a
demonstration.
"""
