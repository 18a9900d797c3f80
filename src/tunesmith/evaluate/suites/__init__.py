"""Suites: folders of questions with known answers, for models as they are. `suite` says what a folder holds."""
