"""From records to what a model reads: tokens, what each belongs to, and which of them are trained."""
