"""From files to records: which files a source names, what their rows are, and which column plays which role."""
