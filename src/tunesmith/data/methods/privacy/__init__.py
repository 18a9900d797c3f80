"""Finds what tells who somebody is, and secrets, in texts; and makes stand-ins for it.

found.py      what a find is, the kinds there are, and which of overlapping finds stand
find.py       all recognisers in one call, each behind a test that costs next to nothing where it finds nothing
checksums.py  the arithmetic of cards, accounts and national numbers
contact.py finance.py national.py network.py dates.py places.py people.py listed.py    the recognisers
secrets.py    keys and passwords
standin.py    what is put in place of a find: consistent, of its kind, made with a key
words.txt     English words that are no names: lower-case words of the public domain books the bundled base was trained
              on, and of open data sets, seen at least 16 times, regular endings left out
"""
