"""`python -m tengen` is the `tengen` command."""

from tengen import main

raise SystemExit(main())
