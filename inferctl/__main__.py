"""`python -m inferctl`."""

from inferctl.app import main

main()
