"""Who is named in a text: terms of identity, and the groups they stand for. English."""
