"""What tests of Tunesmith and of its plug-ins are made with; shipped, and never used outside tests."""
