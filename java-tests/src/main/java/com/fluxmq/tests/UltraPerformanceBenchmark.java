package com.fluxmq.tests;

import java.util.Map;

/** Throughput with middling batches and no acknowledgements: acks=0, 512 KB batches, lz4, 4 threads. {@link Settings} lists what can be changed. */
public final class UltraPerformanceBenchmark {
    private UltraPerformanceBenchmark() {
    }

    /** Takes no arguments; settings come as system properties. */
    public static void main(String[] args) {
        BenchmarkRun.main("UltraPerformanceBenchmark", 4, Map.ofEntries(
                Map.entry("acks", "0"),
                Map.entry("batch.size", "524288"),
                Map.entry("linger.ms", "10"),
                Map.entry("compression.type", "lz4"),
                Map.entry("buffer.memory", "134217728"),
                Map.entry("enable.idempotence", "false"),
                Map.entry("max.in.flight.requests.per.connection", "50"),
                Map.entry("send.buffer.bytes", "1048576"),
                Map.entry("receive.buffer.bytes", "1048576"),
                Map.entry("max.request.size", "1048576")));
    }
}
