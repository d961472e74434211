"""Change a trained model without training it anew: online updates and refits of single heads."""
