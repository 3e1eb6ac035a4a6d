"""What is made from the declarations in allocq/declarations, a module a kind of file."""
