"""The published system of data averaging: SGD at T = lr/B on data sets drawn alike, and how it generalises."""
