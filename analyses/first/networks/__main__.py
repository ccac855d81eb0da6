"""`python -m analyses.first.networks`: train and export without running the scripts."""

from analyses.first.networks import command

if __name__ == "__main__":
    command()
