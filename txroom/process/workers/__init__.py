"""
Several processes on one machine: a parent that opens the sockets, and workers that serve on them.

- `parent`: `Workers`, the service of the parent;
- `supervisor`, `slot` and `child`: the workers, as the parent sees them, `liveness`: those that hang, and
  `summing` of their counters;
- `sockets`: the listening sockets of the parent;
- `spawning`, `backoff`, `processors`: how they are started, when again, and how many;
- `pipe`: the messages between the parent and a worker;
- `output` and `outputpipe`: the log of workers, and how it gets to the parent;
- `worker` and `workerserver`: a worker itself;
- `store`, and the modules that it uses: the Redis that the workers share, if they are not given another one.
"""
