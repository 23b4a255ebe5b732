"""``python -m recsys_tfrs`` is the ``recsys-tfrs`` program."""

from recsys_tfrs.cli import main

if __name__ == "__main__":
    main()
