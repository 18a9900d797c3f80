"""What is shared and changes: one SQLite database in the workspace, or PostgreSQL by URL."""
