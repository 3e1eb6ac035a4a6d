"""Order, sums and comparisons: values in, values out."""
