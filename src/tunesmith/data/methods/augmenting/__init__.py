"""What augmenting rows rests on: words, WordNet, inflection, noise, identity terms, likeness and drift."""
