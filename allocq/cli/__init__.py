"""The command line: turns flags into values and errors into exit statuses."""
