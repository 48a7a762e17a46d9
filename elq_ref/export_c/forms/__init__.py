"""How the weights of a layer lie in flash, one file a form, each with the C function that reads it."""
