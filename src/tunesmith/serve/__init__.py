"""What is served: pages for people who rate."""
