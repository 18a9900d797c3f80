"""What is kept secret: keys, sealed bytes, and the vault.

keys.py    the master key, from the environment or a file, and keys derived from it
seal.py    small records and whole files, encrypted so that any change is noticed
store.py   the vault: a file of entries, each with a key of its own, that can be forgotten for good
"""
