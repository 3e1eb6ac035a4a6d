"""The subcommand `allocq export`."""
