"""Smart Game Format FF[4], read and written."""
