"""What things are and how we judge them: pure functions and values, no I/O, no clock, no threads.

Read in this order: `reading` (kinds, quality, batches), `site` (what a site file may say), `judge` (flags and
evidence from batches, one compiled call each), `alarm` (the ISA-18.2 table), `incident` (what people are told).
"""
