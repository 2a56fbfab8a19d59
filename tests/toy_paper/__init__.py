"""A made-up paper with one table, as a contributor would add it: are colours enough to tell objects apart?"""
