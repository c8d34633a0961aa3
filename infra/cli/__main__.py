"""`python -m infra.cli` is `flashmm`."""

from infra.cli.main import main

main()
