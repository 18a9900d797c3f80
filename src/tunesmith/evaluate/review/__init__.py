"""Human evaluation: people rate answers blind, and what they say becomes a metric, a comparison and training pairs."""
