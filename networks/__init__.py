"""The decade's networks, as torsos of agents, as models of tasks and as a space to search."""
