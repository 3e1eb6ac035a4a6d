"""One module a subcommand; each reads top to bottom as its flow."""
