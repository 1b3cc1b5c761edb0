"""The north side of a gateway: what it keeps and whom it tells.

In the everyday word a *gateway* is the machine in the field; this package is that machine's face to the ward:
`journal` (incidents and deliveries, durable at once), `notify` (whom, why, when), `message` (the words),
`outcome` (what a receiver answered), `notifiers/` (one file for each way to reach people).
"""
