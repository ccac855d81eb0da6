"""The first edition of the study: seven questions, 493 networks. What a review found wrong with its reading stands in the account of the second edition."""
