"""From files to examples: read, recognise, clean, split, tokenise, and account for every row and token."""
