"""MultiTask-CenterNet (Heuer et al., ICCV Workshops 2021): the declaration of its tables and of Figure 7.

No code of the paper is public. Where its text says "as CenterNet" or nothing, the settings are those of
https://github.com/xingyizhou/CenterNet.
"""
