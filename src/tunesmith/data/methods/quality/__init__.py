"""How good texts are: pure functions that data steps cut by and that an audit shows."""
