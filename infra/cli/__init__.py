"""The command line, `flashmm …`. Each module holds the commands of one subject."""
