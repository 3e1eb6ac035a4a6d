"""What is made from the declarations in allocq/commands.py, a module a kind of file."""
