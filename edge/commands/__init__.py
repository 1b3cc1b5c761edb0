"""One thin file for each command of `wardwatch`: it parses, calls and prints; the work is done elsewhere."""
