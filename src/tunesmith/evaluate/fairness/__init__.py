"""How groups of people fare: figures by group, counterfactual pairs, stereotype suites."""
