"""The paper, one concept a file, in its order: levels, bands, gradients, plan, state, stages."""
