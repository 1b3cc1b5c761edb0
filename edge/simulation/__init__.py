"""The same service in virtual time: hours of a ward in seconds, one seed, one sequence."""
