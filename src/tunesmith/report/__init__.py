"""What a run shows of itself: the page, the model card and the summary in a terminal."""
