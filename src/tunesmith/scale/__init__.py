"""One job on several devices: the processes that compute it, and what they tell the one that launched them."""
