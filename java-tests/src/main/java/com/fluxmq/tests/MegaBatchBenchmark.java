package com.fluxmq.tests;

import java.util.Map;

/** Throughput with large batches and no acknowledgements: acks=0, 1 MB batches, lz4, 8 threads. {@link Settings} lists what can be changed. */
public final class MegaBatchBenchmark {
    private MegaBatchBenchmark() {
    }

    /** Takes no arguments; settings come as system properties. */
    public static void main(String[] args) {
        BenchmarkRun.main("MegaBatchBenchmark", 8, Map.ofEntries(
                Map.entry("acks", "0"),
                Map.entry("batch.size", "1048576"),
                Map.entry("linger.ms", "15"),
                Map.entry("compression.type", "lz4"),
                Map.entry("buffer.memory", "268435456"),
                Map.entry("enable.idempotence", "false"),
                Map.entry("max.in.flight.requests.per.connection", "100"),
                Map.entry("send.buffer.bytes", "2097152"),
                Map.entry("receive.buffer.bytes", "2097152"),
                Map.entry("max.request.size", "2097152")));
    }
}
