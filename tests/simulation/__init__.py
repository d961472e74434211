"""The retraining loop on a virtual clock: a simulator, fakes for its long work, invariants."""
