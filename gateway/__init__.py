"""The north side of a gateway: what it keeps and whom it tells.

In the everyday word a *gateway* is the machine in the field; this package is that machine's face to the ward. Two
roads leave the core:

- *People*: `journal` (incidents and deliveries, durable at once; records in `kept`, `rows`, `tables`), `notify` (whom,
  why, when), `message` (the words: `headline`, `book`, `words`, `words_vi`, `words_en`), `teller` (delivery; `gate`
  bounds it), `outcome` (what a receiver answered), `notifiers/` (one file for each way to reach people).
- *Servers*: `series` (rows of measurements), `columns` (how a batch is stored; `columns_grid`, `columns_steps`),
  `spool` (what waits; `spool_file`, `batch`), `lineproto` (how it is said), `forward` (the loop of one server; `sift`
  finds what it refuses), `influx`, `mqtt` (with `mqtt_client`), `command` (signed orders).

Both database files share `database` (errors, transactions) and `aside` (damaged files are kept). `http_words` says what
HTTP servers answered without their secrets.
"""
