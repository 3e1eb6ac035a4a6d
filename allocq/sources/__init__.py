"""Where tags come from: the running kernel or a saved listing."""
