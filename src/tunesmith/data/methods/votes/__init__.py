"""Labels: how annotators agree, what they hold together, and which labels look wrong. Arrays in, arrays out."""
