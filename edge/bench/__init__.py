"""What `wardwatch bench` measures: one file a part, each beside a baseline in the same run."""
