"""`python -m analyses.networks`: train and export without running the scripts."""

from analyses.networks import command

if __name__ == "__main__":
    command()
