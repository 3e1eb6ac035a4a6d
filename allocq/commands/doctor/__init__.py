"""What this kernel offers, what is switched on, and what to do about the rest."""
