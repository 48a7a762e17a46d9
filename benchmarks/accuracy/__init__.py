"""How accurate it is: the comparison of methods, the trials and the ablation behind it, int8 activations."""
