"""Food calories by regression or by retrieval (Ege and Yanai): the declaration of its tables.

The source is a damaged Japanese text; ``papers/calorie/printed.yaml`` lists what is lost. What it leaves open and
what is inferred here stands on the protocol cards.
"""
