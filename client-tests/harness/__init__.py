"""What the tests share: brokers as child processes, ports, processes' figures."""
