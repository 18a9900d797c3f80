"""One module a chapter of the page: what its template shows, or the sentence why it shows nothing."""
