"""What this kernel offers (doctor), and whether it keeps its word (verify)."""
