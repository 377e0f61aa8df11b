"""The same raw frames to Apache Kafka and to FluxMQ, the answers decoded and compared field by field."""
