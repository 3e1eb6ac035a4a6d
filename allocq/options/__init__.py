"""What the command line takes: subcommands, operands, options and their vocabularies."""
