"""Places data comes from beside plain files: archives, folders of documents, the web, object stores, databases."""
