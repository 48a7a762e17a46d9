"""The paper, one concept a file, in its order: levels, bands, gradients, plan. What is not the paper's: borrowed."""
