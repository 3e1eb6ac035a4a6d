"""Draws a report: one HTML file that needs nothing else, or Markdown."""
