"""FluxMQ, Apache Kafka and a broker that keeps nothing, under the same stock clients in turns. `scripts/bench.sh` runs it."""
